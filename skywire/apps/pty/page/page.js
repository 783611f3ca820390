// The page: where to connect, and the terminal that is shown.

import { Line } from "./line.js";
import { Screen } from "./screen.js";

const KEY = /[0-9a-f]{66}/i;
const SHOWN = 10;
const READ_ALOUD = "skywire-pty-read-aloud";
const find = (id) => document.getElementById(id);
let line = null;
let screen = null;
let again = null; // what this tab has shown last, if its session may be gone on with

function hold(held) {
  screen.ctrl = held;
  find("ctrl").setAttribute("aria-pressed", String(held));
}

function read(aloud) {
  screen.read(aloud);
  find("reader").setAttribute("aria-pressed", String(aloud));
  localStorage.setItem(READ_ALOUD, aloud ? "1" : "");
}

function state(text, good) {
  const place = find("connection");
  if (place.textContent !== text) {
    place.textContent = text;
  }
  place.className = good ? "good" : "";
}

function sit() {
  find("entrance").hidden = true;
  find("seat").hidden = false;
  find("bar").hidden = false;
  if (!screen) {
    screen = new Screen(find("screen"), {
      typed: (bytes) => line?.type(bytes),
      resized: (size) => line?.resize(size),
      leave: () => find(line ? "ctrl" : "peer").focus(),
      hold,
    });
    read(Boolean(localStorage.getItem(READ_ALOUD)));
  }
  screen.clear();
  screen.fit();
  screen.focus();
}

function connect(peer, id) {
  find("trouble").textContent = "";
  const short = peer.replace(KEY, (key) => `${key.slice(0, SHOWN)}\u2026`);
  find("title").textContent = `Terminal: ${short || "this node"}`;
  find("title").title = peer;
  sit();
  line = new Line(peer, id, screen.size, {
    state,
    show: (bytes, done) => screen.show(bytes, done),
    began: ({ id: session }) => sessionStorage.setItem("last", JSON.stringify({ peer, id: session })),
    over: (text, canGoOn) => leave(text, canGoOn),
  });
}

// Back to the entrance, to what was said last; what the terminal shows stays to be read.
function leave(text, canGoOn) {
  again = canGoOn ? line : null;
  line?.leave();
  line = null;
  if (!again) {
    sessionStorage.removeItem("last");
  }
  find("trouble").textContent = text;
  find("bar").hidden = true;
  find("entrance").hidden = false;
  list();
  find("peer").focus();
}

async function list() {
  const answer = await fetch("terminals");
  if (!answer.ok) {
    state("This page is not open to you any more; ask for its address again", false);
    return;
  }
  const { terminals } = await answer.json();
  const last = again && !terminals.some(({ id }) => id === again.id) ? [{ ...again, shown: false }] : [];
  const entries = [...terminals, ...last].map(({ id, peer, shown }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${peer || "this node"}, ${id.slice(0, 6)}${shown ? ", shown in another page" : ""}`;
    button.addEventListener("click", () => connect(peer, id));
    const entry = document.createElement("li");
    entry.append(button);
    return entry;
  });
  find("terminals").replaceChildren(...entries);
  find("listed").hidden = !entries.length;
}

find("connect").addEventListener("submit", (event) => {
  event.preventDefault();
  connect(find("peer").value.trim(), "");
});
for (const button of document.querySelectorAll("#bar button")) {
  // The keyboard of a phone stays open only while the terminal has the focus.
  button.addEventListener("pointerdown", (event) => event.preventDefault());
}
for (const button of document.querySelectorAll("[data-key]")) {
  button.addEventListener("click", () => screen.press(button.dataset.key));
}
find("ctrl").addEventListener("click", () => hold(!screen.ctrl));
find("reader").addEventListener("click", () => read(find("reader").getAttribute("aria-pressed") !== "true"));
find("copy").addEventListener("click", () => screen.copy());
find("paste").addEventListener("click", () => screen.paste());
find("end").addEventListener("click", () => line?.end());
find("leave").addEventListener("click", () => {
  find("seat").hidden = true;
  state("Not connected", false);
  leave("", true);
});

const last = JSON.parse(sessionStorage.getItem("last") || "null");
if (last) {
  connect(last.peer, last.id);
} else {
  list();
}
