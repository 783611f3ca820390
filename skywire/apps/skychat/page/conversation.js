// The messages with one peer. All that were looked at are kept; of them only some around what is seen are in the page.

import { get, post } from "./asking.js";
import { MessageView, keyOf } from "./message.js";
import { byId, day, inertLine, make, nameOf, say } from "./parts.js";

const STEP = 50;
const MOST_SHOWN = 200;
const NEAR_PIXELS = 300;
const END_PIXELS = 60;
const BATCH_MILLISECONDS = 30;
const LONGEST_HEARD = 200;

export class Conversation {
  constructor({ contactOf, onReply }) {
    this.contactOf = contactOf;
    this.list = byId("messages");
    this.peer = "";
    this.view = new MessageView({ onReply, onDelete: (message) => this.remove(message), find: (id) => this.find(id) });
    this.clear();
    this.list.addEventListener("scroll", () => this.scrolled());
    this.list.addEventListener("keydown", (event) => this.step(event));
    byId("newest").addEventListener("click", () => this.goToEnd());
    document.addEventListener("visibilitychange", () => this.tellRead());
    new ResizeObserver(() => this.followsEnd && this.scrollToEnd()).observe(this.list);
  }

  clear() {
    this.kept = [];
    this.first = 0;
    this.last = 0;
    this.hasOlder = false;
    this.isAsking = false;
    this.isMissing = false;
    this.followsEnd = true;
    this.wasAt = 0;
    this.toldRead = 0;
    this.come = new Map();
    this.items = new Map();
    this.current = "";
  }

  // Show the newest messages with a peer, after all that came before is forgotten; with nobody, nothing.
  async open(peer) {
    this.peer = peer;
    this.clear();
    this.draw();
    if (!peer) {
      return;
    }
    this.isAsking = true;
    byId("no-messages").hidden = true;
    let messages = [];
    let trouble = "";
    try {
      ({ messages } = await get("history", { peer, limit: STEP }));
    } catch (error) {
      trouble = error.message;
    }
    if (this.peer !== peer) {
      return;
    }
    say("trouble", trouble);
    this.isMissing = trouble !== "";
    this.isAsking = false;
    this.hasOlder = messages.length === STEP;
    const newer = [...this.come.values()];
    this.kept = messages;
    this.come.clear();
    newer.forEach((message) => this.put(message));
    this.last = this.kept.length;
    this.first = Math.max(0, this.last - STEP);
    this.draw();
    this.scrollToEnd();
    this.tellRead();
  }

  find(id) {
    return this.kept.find((message) => message.id === id);
  }

  // A message is new, or is changed.
  take(message) {
    if (message.peer !== this.peer) {
      this.hear(message);
      return;
    }
    if (this.isAsking && this.kept.length === 0) {
      this.come.set(keyOf(message), message); // the answer that is on its way may be older than this
      return;
    }
    const wasEnd = this.last === this.kept.length;
    if (!this.put(message)) {
      return;
    }
    if (wasEnd) {
      this.last = this.kept.length;
    }
    this.hear(message);
    this.batch = this.batch || setTimeout(() => this.flush(), BATCH_MILLISECONDS);
  }

  flush() {
    this.batch = null;
    this.draw();
    this.tellRead();
  }

  // Puts a message in its place; gives whether that changes anything.
  put(message) {
    const place = this.kept.findIndex((each) => keyOf(each) === keyOf(message));
    if (place >= 0) {
      const isNewer = message.change > this.kept[place].change;
      this.kept[place] = isNewer ? message : this.kept[place];
      return isNewer;
    }
    if (this.hasOlder && this.kept.length && message.number < this.kept[0].number) {
      return false; // it is not looked at yet
    }
    const behind = this.kept.findIndex((each) => each.number > message.number);
    this.kept.splice(behind < 0 ? this.kept.length : behind, 0, message);
    return true;
  }

  hear(message) {
    if (message.direction === "in" && message.delivery === "delivered" && message.change === message.number) {
      const text = message.file ? `file ${inertLine(message.file.name)}` : inertLine(message.text);
      const heard = `${nameOf(this.contactOf(message.peer))}: ${text.slice(0, LONGEST_HEARD)}`;
      byId("heard").replaceChildren(heard); // also when the same was heard before
    }
  }

  draw() {
    const before = this.list.scrollTop;
    if (before < this.wasAt - END_PIXELS) {
      this.followsEnd = false; // somebody has just scrolled, and the event is still to come
    }
    const anchor = Array.from(this.list.querySelectorAll(".message")).find((item) => item.offsetTop + item.offsetHeight > before);
    const offset = anchor ? anchor.offsetTop : 0;
    this.trim();
    const wanted = [];
    let lastDay = "";
    for (const message of this.kept.slice(this.first, this.last)) {
      const today = day(message.time);
      if (today !== lastDay) {
        lastDay = today;
        wanted.push(this.separator(today, wanted.length));
      }
      wanted.push(this.itemOf(message));
    }
    const used = new Set(wanted);
    for (const [key, item] of this.items) {
      if (!used.has(item)) {
        this.items.delete(key);
      }
    }
    Array.from(this.list.children).forEach((item) => used.has(item) || item.remove());
    wanted.forEach((item, index) => {
      if (this.list.children[index] !== item) {
        this.list.insertBefore(item, this.list.children[index] || null);
      }
    });
    byId("no-messages").hidden = this.kept.length > 0 || this.isAsking || this.isMissing;
    this.setCurrent(this.list.querySelector(".message[tabindex='0']") || this.list.querySelector(".message:last-child"));
    if (this.followsEnd) {
      this.scrollToEnd();
    } else if (anchor?.isConnected) {
      this.list.scrollTop = before + anchor.offsetTop - offset;
    }
    this.offerNewest();
  }

  // Leaves out messages that are far from what is seen.
  trim() {
    if (this.last - this.first <= MOST_SHOWN) {
      return;
    }
    if (this.followsEnd || this.goesDown) {
      this.first = this.last - MOST_SHOWN;
    } else {
      this.last = this.first + MOST_SHOWN;
    }
  }

  separator(text, place) {
    const key = `day ${place} ${text}`;
    const item = this.items.get(key) || make("li", "day", text);
    this.items.set(key, item);
    return item;
  }

  itemOf(message) {
    const key = keyOf(message);
    const before = this.items.get(key);
    if (before?.change === message.change) {
      return before;
    }
    const item = this.view.made(message, before);
    this.items.set(key, item);
    return item;
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.list;
    const rest = scrollHeight - scrollTop - clientHeight;
    this.goesDown = scrollTop > this.wasAt;
    this.wasAt = scrollTop;
    this.followsEnd = rest < END_PIXELS && this.last === this.kept.length;
    if (scrollTop < NEAR_PIXELS && !this.goesDown) {
      this.showOlder();
    } else if (rest < NEAR_PIXELS && this.goesDown && this.last < this.kept.length) {
      this.last = Math.min(this.kept.length, this.last + STEP);
      this.draw();
    }
    this.offerNewest();
    this.tellRead();
  }

  async showOlder() {
    if (this.isAsking || (this.first === 0 && !this.hasOlder)) {
      return;
    }
    if (this.first === 0) {
      const peer = this.peer;
      this.isAsking = true;
      try {
        const { messages } = await get("history", { peer, before: this.kept[0].number, limit: STEP });
        if (this.peer !== peer) {
          return;
        }
        this.hasOlder = messages.length === STEP;
        this.kept = [...messages, ...this.kept];
        this.first += messages.length;
        this.last += messages.length;
      } catch (error) {
        say("trouble", error.message);
        return;
      } finally {
        if (this.peer === peer) {
          this.isAsking = false;
        }
      }
    }
    this.first = Math.max(0, this.first - STEP);
    this.followsEnd = false;
    this.draw();
  }

  goToEnd() {
    this.last = this.kept.length;
    this.first = Math.max(0, this.last - STEP);
    this.followsEnd = true;
    this.wasAt = 0;
    this.draw();
    this.tellRead();
    byId("text").focus();
  }

  scrollToEnd() {
    this.list.scrollTop = this.list.scrollHeight;
    this.wasAt = this.list.scrollTop;
  }

  offerNewest() {
    const below = this.kept.slice(this.last).length;
    byId("newest").hidden = this.followsEnd || this.kept.length === 0;
    byId("newest").textContent = below ? `To the newest, ${below} below` : "To the newest";
  }

  // What is on the screen, in front of somebody, has been read.
  async tellRead() {
    if (!this.peer || !this.followsEnd || this.isAsking || document.visibilityState !== "visible") {
      return;
    }
    const unread = this.kept.filter((message) => message.direction === "in" && message.delivery === "delivered");
    const number = unread.length ? unread[unread.length - 1].number : 0;
    if (number > this.toldRead) {
      this.toldRead = number;
      try {
        await post("read", { peer: this.peer, number });
      } catch {
        this.toldRead = 0; // the next message, or the next look, tries again
      }
    }
  }

  async remove(message) {
    try {
      await post("delete", { peer: message.peer, id: message.id });
    } catch (error) {
      say("trouble", error.message);
    }
  }

  // One message at a time takes part in the order of the Tab key, else it would lead through hundreds of buttons.
  setCurrent(item) {
    for (const other of this.list.querySelectorAll(".message")) {
      const isCurrent = other === item;
      other.tabIndex = isCurrent ? 0 : -1;
      other.querySelectorAll("button, a").forEach((each) => {
        each.tabIndex = isCurrent ? 0 : -1;
      });
    }
  }

  step(event) {
    const here = event.target.closest(".message");
    const items = Array.from(this.list.querySelectorAll(".message"));
    const place = items.indexOf(here);
    const next = { ArrowUp: place - 1, ArrowDown: place + 1, Home: 0, End: items.length - 1 }[event.key];
    if (here && next !== undefined) {
      event.preventDefault();
      if (next < 0) {
        this.showOlder();
      }
      const item = items[Math.max(0, Math.min(items.length - 1, next))];
      this.setCurrent(item);
      item.focus();
    }
  }
}
