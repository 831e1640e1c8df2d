/* The texts of a page whose contrast with what lies behind them is below WCAG AA (1.4.3): "3.19 Active calls [nav-link]". */
() => {
  const canvas = document.createElement("canvas");
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3]));
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const line = (element) => (element ? [...line(element.parentElement), element] : []);
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim();
    const element = texts.currentNode.parentElement;
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest(".visually-hidden, .visually-hidden-focusable, script, option, :disabled")) continue;
    const styles = line(element).map((each) => getComputedStyle(each));
    const back = styles.reduce((below, style) => over(rgba(style.backgroundColor), below), [255, 255, 255]);
    const opacity = styles.reduce((all, style) => all * Number(style.opacity), 1);
    const { color, fontSize, fontWeight } = styles.at(-1);
    const [r, g, b, a] = rgba(color);
    const [light, dark] = [luminance(over([r, g, b, a * opacity], back)), luminance(back)].sort((x, y) => y - x);
    const ratio = (light + 0.05) / (dark + 0.05);
    const px = parseFloat(fontSize);
    const large = px >= 24 || (px >= 18.66 && Number(fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.add(`${ratio.toFixed(2)} ${text.slice(0, 40)} [${element.className}]`);
  }
  return [...faint];
}
