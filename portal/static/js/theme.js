/* Light or dark before the first paint, and the viewer's time zone for the server.

   A classic script in the head: a module would run after the page was shown in the wrong colours.
   The theme is what this browser chose with the button, else what its system prefers.
*/

{
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const chosen = () => {
    try {
      return localStorage.getItem("earshot-theme");
    } catch {
      return null; // storage is blocked: the system's choice holds
    }
  };

  const show = () => {
    document.documentElement.dataset.bsTheme = chosen() ?? (dark.matches ? "dark" : "light");
  };

  show();
  dark.addEventListener("change", show);
  addEventListener("storage", show);

  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `earshot_zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}
