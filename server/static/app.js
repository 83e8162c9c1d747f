"use strict";
(() => {
  const $ = (id) => document.getElementById(id), live = $("live"), root = document.documentElement;
  const offset = Date.parse(root.dataset.now) - Date.now();

  // Ages stay true.
  setInterval(() => {
    for (const e of document.querySelectorAll("time[data-age]")) {
      const s = (Date.now() + offset - Date.parse(e.dateTime)) / 1000;
      if (s < 7200) e.textContent = s < 5 ? "just now" : s < 60 ? `${s | 0}\u00a0s ago` : `${(s / 60) | 0}\u00a0min ago`;
    }
    for (const e of document.querySelectorAll("time[data-left]")) {
      const s = (Date.parse(e.dateTime) - Date.now() - offset) / 1000;
      e.textContent = s < 1 ? "a moment" : s < 60 ? `${s | 0}\u00a0s` : `${(s / 60) | 0}\u00a0min`;
    }
  }, 10000);
  if (!live) return;

  // Connection: a word after 5 s without one, loud after 20 s.
  const conn = $("conn"), text = $("conn-text"), lost = $("lost");
  let timers = [], up = false, dead = false;
  conn.hidden = false;
  const back = () => {
    timers.forEach(clearTimeout);
    timers = [];
    up = true;
    text.textContent = "Live";
    conn.classList.remove("lost");
    lost.hidden = true;
    root.classList.remove("stale");
  };
  const gone = (event, status = event?.detail.status) => {
    if (status === 401) {
      dead = lost.hidden = true;
      $("out").hidden = false;
      root.classList.add("stale");
    }
    if (timers.length) return;
    const since = new Date(Date.now() + offset).toTimeString().slice(0, 5);
    timers = [
      setTimeout(() => {
        text.textContent = "Reconnecting, shown " + since;
        conn.classList.add("lost");
      }, 5000),
      setTimeout(() => {
        $("lost-at").textContent = " since " + since;
        lost.hidden = dead;
        root.classList.add("stale");
      }, 20000),
    ];
  };
  gone();
  live.addEventListener("htmx:sse:after:connection", back);
  live.addEventListener("htmx:sse:before:connection", (e) => { if (dead) e.preventDefault(); else if (up) gone(); });
  live.addEventListener("htmx:sse:error", gone);
  live.addEventListener("htmx:sse:close", () => { up = false; gone(); });
  document.addEventListener("htmx:response:error", (e) => e.detail.ctx.response.status === 401 && gone(e, 401));
  // Nobody else tries a first connection again.
  setInterval(() => { if (!up && !dead && !document.hidden && !live._htmx?.sse) htmx.process(live, true); }, 5000);

  // The tab says the verdict.
  document.addEventListener("htmx:after:swap", () => {
    const t = document.querySelector("[data-title]");
    if (t) document.title = t.dataset.title;
  });

  // No row moves under a pointer or a focus, for 30 s at most.
  const board = $("board"), held = $("held"), waiting = new Set(), free = new Set();
  if (!board) return;
  let first = 0;
  const busy = () => board.matches(":hover,:focus-within");
  board.addEventListener("htmx:before:request", (e) => {
    const id = e.target.id;
    if (free.delete(id) || !busy()) return;
    e.preventDefault();
    if (!waiting.size) first = Date.now();
    waiting.add(id);
    held.hidden = false;
  });
  setInterval(() => {
    if (!waiting.size || (busy() && Date.now() - first < 30000)) return;
    for (const id of waiting) free.add(id), htmx.trigger(live, id);
    waiting.clear();
    held.hidden = true;
  }, 500);
})();
