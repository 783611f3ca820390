// One message.

import { button, clock, inert, inertLine, iso, make, size } from "./parts.js";

const MARKS = { queued: "queued", delivered: "delivered", read: "read", refused: "refused" };
const LONGEST_QUOTE = 80;

export const keyOf = (message) => `${message.direction} ${message.id}`;

export function excerpt(message) {
  if (message.deleted) {
    return "a deleted message";
  }
  const text = inertLine(message.text || (message.file ? message.file.name : ""));
  return text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text;
}

export class MessageView {
  constructor({ onReply, onDelete, find }) {
    this.onReply = onReply;
    this.onDelete = onDelete;
    this.find = find;
  }

  // The list item of a message; the one that is there already is filled anew.
  made(message, before) {
    const isOurs = message.direction === "out";
    const item = before || make("li", "");
    item.className = `message ${isOurs ? "ours" : "theirs"}`;
    item.change = message.change;
    item.tabIndex = before ? before.tabIndex : -1;
    const focused = item.contains(document.activeElement) ? document.activeElement.dataset.act || "" : null;
    const parts = [this.quote(message), this.text(message), message.file && !message.deleted ? this.file(message) : null];
    item.replaceChildren(make("span", "unseen", isOurs ? "You:" : "They:"), ...parts.filter(Boolean), this.foot(message, isOurs));
    if (focused !== null) {
      item.tabIndex = 0;
      (item.querySelector(`[data-act="${focused}"]`) || item).focus({ preventScroll: true }); // else the keyboard would be nowhere
    }
    return item;
  }

  quote(message) {
    if (!message.reply_to) {
      return null;
    }
    const answered = this.find(message.reply_to);
    const quote = make("blockquote", "quote", answered ? excerpt(answered) : "a message that is not shown");
    quote.dir = "auto";
    return quote;
  }

  text(message) {
    if (message.deleted) {
      return make("p", "text gone", "deleted");
    }
    if (message.text === "") {
      return null;
    }
    const text = make("p", "text", inert(message.text));
    text.dir = "auto";
    return text;
  }

  file(message) {
    const { name, size: bytes, done, path, trouble } = message.file;
    const box = make("div", "file");
    const label = make("p", "file-name", inertLine(name));
    label.dir = "auto";
    const isWhole = done >= bytes;
    const state = isWhole ? size(bytes) : `${size(done)} of ${size(bytes)}`;
    box.append(label, make("p", "file-state", trouble ? `${state}: ${inertLine(trouble)}` : state));
    if (!isWhole && !trouble) {
      const progress = make("progress", "");
      progress.max = bytes;
      progress.value = done;
      progress.setAttribute("aria-label", `${inertLine(name)}, how much has come over`);
      box.append(progress);
    }
    if (isWhole && path && message.direction === "in") {
      const link = make("a", "download", "Save");
      link.href = `file/${message.peer}/${message.number}`;
      link.download = "";
      link.dataset.act = "Save";
      link.setAttribute("aria-label", `Save ${inertLine(name)}`);
      box.append(link);
    }
    return box;
  }

  // The first press asks, the second one does it; whoever goes on to something else has not meant it.
  deletion(message) {
    const made = button("small", "Delete", () => {
      if (made.textContent === "Delete") {
        made.textContent = "Really?";
        made.setAttribute("aria-label", `Really delete: ${excerpt(message)}`);
      } else {
        this.onDelete(message);
      }
    });
    made.addEventListener("blur", () => {
      made.textContent = "Delete";
      made.setAttribute("aria-label", `Delete: ${excerpt(message)}`);
    });
    return made;
  }

  foot(message, isOurs) {
    const foot = make("p", "foot");
    const time = make("time", "", clock(message.time));
    time.dateTime = iso(message.time);
    foot.append(time);
    if (isOurs) {
      const mark = MARKS[message.delivery] || "";
      foot.append(make("span", `mark ${mark}`, mark));
    }
    if (!message.deleted) {
      foot.append(button("small", "Reply", () => this.onReply(message)));
      if (isOurs) {
        foot.append(this.deletion(message));
      }
      for (const each of foot.querySelectorAll("button")) {
        each.setAttribute("aria-label", `${each.textContent}: ${excerpt(message)}`);
        each.dataset.act = each.textContent;
        each.tabIndex = -1;
      }
    }
    return foot;
  }
}
