/* The levels of calls that run, over one websocket: asked for by id, told ten times a second. */

const RECONNECT_MS = 2000;

/* Calls `tell({id: [caller_dbfs, callee_dbfs]})` at each message, until `signal` aborts. Null: nothing to show. */
export function watchLevels(calls, tell, signal) {
  const url = new URL("/live/levels", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  let socket;
  const open = () => {
    if (signal.aborted) return;
    socket = new WebSocket(url);
    socket.onopen = () => socket.send(JSON.stringify({ calls }));
    socket.onmessage = ({ data }) => tell(JSON.parse(data).levels ?? {});
    socket.onclose = ({ code }) => {
      tell(Object.fromEntries(calls.map((id) => [id, [null, null]])));
      // 44xx: the server has answered, and asking again would change nothing.
      if (code < 4400 || code >= 4500) setTimeout(open, RECONNECT_MS);
    };
  };
  signal.addEventListener("abort", () => socket?.close());
  open();
}
