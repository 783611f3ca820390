// Whatever comes from the node was written by strangers: it is put in as text, never as markup.

import { follow } from "./stream.js";

const MOST_KEPT = 5000;
const MOST_SHOWN = 1000;
// What a tab is told that is opened later.
const KEPT = { apps: 1, line: MOST_SHOWN, dropped: 0 };
const BATCH_MILLISECONDS = 100;
const LEVELS = [[40, "error", "Error"], [30, "warning", "Warning"], [20, "info", "Info"], [0, "debug", "Debug"]];

const byId = (id) => document.getElementById(id);
const log = byId("log");
const kept = [];
let waiting = [];
let missedWhilePaused = 0;
let isPaused = false;
let batch = null;
let followsEnd = true;

function make(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function clock(seconds) {
  const time = new Date(seconds * 1000);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

function dayAndClock(seconds) {
  const time = new Date(seconds * 1000);
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? clock(seconds) : `${time.toLocaleDateString()} ${clock(seconds)}`;
}

function sayConnection(text, className) {
  const place = byId("connection");
  if (place.textContent !== text) {
    place.textContent = text;
    place.className = className;
  }
}

function wanted(entry) {
  if (entry.note) {
    return true;
  }
  const app = byId("app").value;
  const search = byId("search").value.toLowerCase();
  return (
    entry.level >= Number(byId("level").value) &&
    (app === "" || entry.app === app) &&
    (search === "" || entry.text.toLowerCase().includes(search))
  );
}

function lineOf(entry) {
  const line = document.createElement("li");
  if (entry.note) {
    line.append(make("span", "note", entry.note));
    return line;
  }
  const [, className, name] = LEVELS.find(([least]) => entry.level >= least) || LEVELS[LEVELS.length - 1];
  const time = make("time", "time", clock(entry.time));
  time.dateTime = new Date(entry.time * 1000).toISOString();
  line.append(time, make("span", `level ${className}`, name), make("span", "app", entry.app), make("span", "text", entry.text));
  return line;
}

function sayCount() {
  const shown = log.childElementCount;
  const parts = [`${shown} ${shown === 1 ? "line" : "lines"} shown`];
  if (isPaused) {
    parts.push(`paused, ${missedWhilePaused} new`);
  }
  byId("count").textContent = parts.join("; ");
}

function goToEnd() {
  if (followsEnd) {
    log.scrollTop = log.scrollHeight;
  }
}

function append(entries) {
  const matching = entries.filter(wanted).slice(-MOST_SHOWN);
  log.append(...matching.map(lineOf));
  while (log.childElementCount > MOST_SHOWN) {
    log.firstElementChild.remove();
  }
  goToEnd();
  sayCount();
}

function showAll() {
  // What is shown again is not news: only lines that come are read out.
  log.setAttribute("aria-live", "off");
  log.replaceChildren();
  followsEnd = true;
  append(kept);
  log.setAttribute("aria-live", isPaused ? "off" : "polite");
}

function keep(entry) {
  kept.push(entry);
  if (kept.length > MOST_KEPT) {
    kept.splice(0, kept.length - MOST_KEPT);
  }
  if (isPaused) {
    missedWhilePaused += 1;
  } else {
    waiting.push(entry);
  }
  batch = batch || setTimeout(flush, BATCH_MILLISECONDS);
}

function flush() {
  batch = null;
  const entries = waiting;
  waiting = [];
  append(entries);
}

function showApps(rows) {
  const body = byId("apps");
  body.replaceChildren(...rows.map(rowOf));
  byId("no-apps").hidden = rows.length > 0;
  offerApps(["core", ...rows.map((row) => row.name)]);
}

function rowOf(row) {
  const line = document.createElement("tr");
  line.setAttribute("role", "row");
  const name = make("th", "name", row.name);
  name.scope = "row";
  name.setAttribute("role", "rowheader");
  const cell = (className, label, text) => {
    const made = make("td", className, text);
    made.setAttribute("role", "cell");
    if (label !== "") {
      made.dataset.label = label;
    }
    return made;
  };
  line.append(
    name,
    cell(`short state ${row.state}`, "", row.state),
    cell("short", "Port", row.ports.join(", ") || "none"),
    cell("short", "Wave", String(row.wave)),
    cell("short", "Restarts", String(row.restarts)),
    cell("short since", "Since", dayAndClock(row.since)),
    cell("reason", "", row.reason),
  );
  return line;
}

function offerApps(names) {
  const select = byId("app");
  const offered = Array.from(select.options, (option) => option.value).slice(1);
  if (offered.join(" ") === names.join(" ")) {
    return;
  }
  const chosen = select.value;
  const all = select.options[0];
  select.replaceChildren(
    all,
    ...names.map((name) => {
      const option = make("option", "", name);
      option.value = name;
      return option;
    }),
  );
  select.value = names.includes(chosen) ? chosen : "";
  if (select.value !== chosen) {
    showAll();
  }
}

function setPaused(paused) {
  isPaused = paused;
  missedWhilePaused = 0;
  waiting = [];
  const button = byId("pause");
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = paused ? "Go on" : "Pause";
  if (paused) {
    log.setAttribute("aria-live", "off");
    sayCount();
  } else {
    showAll();
  }
}

const TOLD = {
  apps(rows) {
    sayConnection("Live", "good");
    showApps(rows);
  },
  line: keep,
  dropped: ({ count }) => keep({ note: `${count} ${count === 1 ? "line" : "lines"} dropped: they came too fast` }),
  trouble: ({ reason }) => sayConnection(reason, "bad"),
};

log.addEventListener("scroll", () => {
  followsEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
});
new ResizeObserver(goToEnd).observe(log);
byId("filter").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["app", "level", "search"]) {
  byId(id).addEventListener("input", () => {
    waiting = [];
    showAll();
  });
}
byId("pause").addEventListener("click", () => setPaused(!isPaused));
sayCount();
follow("events", KEPT, (name, data) => TOLD[name](data));
