// Whatever peers write is put in as text, never as markup; and what would turn or hide text around it is shown by number.

export const byId = (id) => document.getElementById(id);

const COMMANDS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]/;
const RUN = new RegExp(`(${COMMANDS.source})\\1*`, "g");
const MOST_ALIKE = 3;
const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

export function inert(text) {
  return text.replace(/\r\n?/g, "\n").replace(RUN, (run, one) => {
    const number = `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`;
    return run.length > MOST_ALIKE ? `${number} (${run.length} times)` : number.repeat(run.length);
  });
}

export function inertLine(text) {
  return inert(text).replace(/[\n\t\u2028\u2029]/g, " ");
}

export function make(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

export function button(className, text, act) {
  const made = make("button", className, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

export function say(id, text) {
  const place = byId(id);
  if (place.textContent !== text) {
    place.textContent = text;
  }
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function day(seconds) {
  const time = new Date(seconds * 1000);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(time).setHours(0, 0, 0, 0)) / 86400000);
  if (days === 0 || days === 1) {
    return days === 0 ? "Today" : "Yesterday";
  }
  return time.toLocaleDateString([], { weekday: "long", year: "numeric", month: "long", day: "numeric" });
}

export function iso(seconds) {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString();
}

export function size(bytes) {
  const power = bytes < 1024 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power ? 1 : 0)} ${UNITS[power]}`;
}

export const shortKey = (key) => `${key.slice(0, 8)}…${key.slice(-4)}`;

export const nameOf = (contact) => (contact.alias ? inertLine(contact.alias) : shortKey(contact.peer));
