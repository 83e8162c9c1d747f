"use strict";
(() => {
  const $ = (id) => document.getElementById(id), live = $("live"), root = document.documentElement;
  const offset = Date.parse(root.dataset.now) - Date.now();

  // Ages stay true, and so does how long something runs.
  const n = (v, unit) => `${v | 0}\u00a0${unit}`, short = (s) => s < 60 ? n(s, "s") : n(s / 60, "min");
  const tick = (what, say) => {
    for (const e of document.querySelectorAll(`time[data-${what}]`)) e.textContent = say((Date.now() + offset - Date.parse(e.dateTime)) / 1000) || e.textContent;
  };
  setInterval(() => {
    tick("age", (s) => s < 5 ? "just now" : s < 7200 && short(s) + " ago");
    tick("left", (s) => s > -1 ? "a moment" : short(-s));
  }, 10000);
  setInterval(() => tick("run", (s) => s < 60 ? short(s) : s < 3600 ? short(s) + " " + n(s % 60, "s") : ""), 1000);

  // A question opens where it is asked.
  document.addEventListener("click", async (e) => {
    const a = e.target.closest("a[data-act]");
    if (!a || e.defaultPrevented || e.ctrlKey || e.metaKey || e.shiftKey || e.button || !a.href.startsWith(location.origin + "/runs/")) return;
    e.preventDefault();
    const page = await fetch(a.href).then((r) => r.ok && r.text()).catch(() => "");
    const ask = new DOMParser().parseFromString(page || "", "text/html").querySelector(".ask");
    if (!ask) return location.assign(a.href);
    const dialog = document.createElement("dialog");
    ask.querySelector("h1").id = "asked";
    dialog.setAttribute("aria-labelledby", "asked");
    dialog.append(ask);
    document.body.append(dialog);
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (e) => {
      if (e.target === dialog || e.target.closest("a.btn")) e.preventDefault(), dialog.close();
    });
    dialog.showModal();
  });

  // Comfort keys.
  const keys = $("keys"), wish = $("keys-on");
  if (keys) {
    for (const e of document.querySelectorAll(".keyed")) e.hidden = false;
    wish.checked = localStorage.keys !== "off";
    wish.addEventListener("change", () => localStorage.keys = wish.checked ? "on" : "off");
    let g = 0;
    const step = (n) => {
      const all = [...document.querySelectorAll(".row h3 a,.gate>summary,.rows tbody tr:has(a)")].map((e) => e.matches("tr") ? e.querySelector("a") : e);
      all[Math.min(Math.max(all.indexOf(document.activeElement) + n, 0), all.length - 1)]?.focus();
    };
    document.addEventListener("keydown", (e) => {
      if (!wish.checked || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input,textarea,select,dialog")) return;
      const to = g && { u: "/", e: "/environments", h: "/history" }[e.key];
      g = e.key === "g";
      const act = to ? () => location.assign(to) : {
        "/": () => $("q") ? $("q").focus() : location.assign("/history#q"), "?": () => keys.showModal(), j: () => step(1), k: () => step(-1),
        o: () => document.activeElement.closest(".gate")?.querySelector("summary").click(), ".": () => document.querySelector(".next .btn,.row .btn.main")?.focus(),
      }[e.key];
      if (act) e.preventDefault(), act();
    });
  }
  if (location.hash === "#q") $("q")?.focus();
  if (!live) return;
  const on = (name, f) => live.addEventListener(name, f);

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
  on("htmx:sse:after:connection", back);
  on("htmx:sse:before:connection", (e) => { if (dead) e.preventDefault(); else if (up) gone(); });
  on("htmx:sse:error", gone);
  on("htmx:sse:close", () => { up = false; gone(); });
  document.addEventListener("htmx:response:error", (e) => e.detail.ctx.response.status === 401 && gone(e, 401));
  // Nobody else tries again.
  setInterval(() => { if (!up && !dead && !document.hidden && !live._htmx?.sse) htmx.process(live, true); }, 5000);

  // The tab says the verdict.
  document.addEventListener("htmx:after:swap", () => {
    const t = document.querySelector("[data-title]");
    if (t) document.title = t.dataset.title;
  });

  // No row moves under a finger, for 30 s.
  const board = $("board"), held = $("held"), waiting = new Set(), free = new Set(), rows = new Set();
  if (!board) return;
  let first = 0;
  const busy = () => board.matches(":hover,:focus-within");
  const say = () => {
    held.hidden = !waiting.size;
    held.textContent = `${rows.size || "Some"} row${rows.size === 1 ? " has" : "s have"} changed.`;
  };
  for (const g of board.children) on(g.id, (e) => {
    if (busy() && e.detail.data) JSON.parse(e.detail.data).runs?.forEach((r) => rows.add(r));
    say();
  });
  board.addEventListener("htmx:before:request", (e) => {
    const id = e.target.id;
    if (free.delete(id) || !busy()) return;
    e.preventDefault();
    if (!waiting.size) first = Date.now();
    waiting.add(id);
    say();
  });
  setInterval(() => {
    if (!waiting.size || (busy() && Date.now() - first < 30000)) return;
    for (const id of waiting) free.add(id), htmx.trigger(live, id);
    waiting.clear();
    rows.clear();
    say();
  }, 500);
})();
