"use strict";
(() => {
  // Plays a run's journal. Each scene is the server's; this keeps the time.
  const $ = (id) => document.getElementById(id), player = $("player");
  if (!player) return;
  const play = $("play"), slider = $("slider"), length = +player.dataset.length;
  let at = +slider.value, timer = 0, last = 0, wanted = "", busy = false;
  player.hidden = false;

  const mark = () => {
    for (const row of document.querySelectorAll(".journal tr[data-seq]")) {
      if (row.dataset.seq === $("scene").dataset.seq) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  };
  // One question at a time; the newest wish is the next one.
  const load = async (query) => {
    wanted = query;
    if (busy) return;
    busy = true;
    while (wanted) {
      const ask = wanted;
      wanted = "";
      try {
        const answer = await fetch(player.dataset.path + "/parts/scene?" + ask);
        if (!answer.ok) throw new Error(answer.status);
        const scene = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("scene");
        const open = [...document.querySelectorAll("#scene details[open]")].map((e) => e.id);
        for (const e of scene.querySelectorAll("details")) e.open = open.includes(e.id);
        $("scene").replaceWith(scene);
        mark();
        $("said").textContent = "";
      } catch (e) {
        pause();
        wanted = "";
        $("said").textContent = e.message === "401" ? "You are signed out. Reload the page to sign in." : "The server did not answer. Try again.";
      }
    }
    busy = false;
  };
  const pause = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = at >= length ? "Play again" : "Play";
  };
  const tick = () => {
    const now = performance.now(), next = +$("scene").dataset.next;
    at = Math.min(at + now - last, length);
    last = now;
    slider.value = at;
    if (next >= 0 && at >= next && !busy) load("t=" + Math.round(at));
    if (at >= length && !busy) pause();
  };
  const start = () => {
    if (at >= length) at = 0, load("t=0");
    last = performance.now();
    timer = setInterval(tick, 100);
    play.textContent = "Pause";
  };
  play.addEventListener("click", () => (timer ? pause() : start()));
  slider.addEventListener("input", () => {
    at = +slider.value;
    pause();
    load("t=" + at);
  });
  // Somebody who came to one event looks at it; who wants little motion starts it.
  if (length > 0 && !new URLSearchParams(location.search).has("at") && !matchMedia("(prefers-reduced-motion:reduce)").matches) start();
  else pause();
})();
