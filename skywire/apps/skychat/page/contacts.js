// The list of contacts.

import { get, post } from "./asking.js";
import { byId, inertLine, make, nameOf, say } from "./parts.js";

const KEY = /^[0-9a-f]{66}$/;

export function presenceOf(contact) {
  if (contact.network) {
    return `Connected over ${inertLine(contact.network)}`;
  }
  if (!contact.allowed) {
    return "May not write to you";
  }
  return contact.trouble ? `Not reached: ${inertLine(contact.trouble)}` : "Not connected";
}

export class Contacts {
  constructor(open) {
    this.known = new Map();
    this.chosen = "";
    this.open = open;
    byId("new-contact").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add();
    });
  }

  of(peer) {
    return this.known.get(peer) || { peer, alias: "", allowed: true, network: "", waiting: 0, unread: 0, last: 0, trouble: "" };
  }

  show(contacts) {
    this.known = new Map(contacts.map((contact) => [contact.peer, contact]));
    this.draw();
  }

  choose(peer) {
    this.chosen = peer;
    this.draw();
  }

  draw() {
    const list = byId("contacts");
    const focused = document.activeElement?.dataset?.peer;
    const there = new Map(Array.from(list.children, (item) => [item.firstElementChild.dataset.peer, item]));
    const shown = [...this.known.values()];
    if (this.chosen && !this.known.has(this.chosen)) {
      shown.unshift(this.of(this.chosen));
    }
    const items = shown.map((contact) => this.item(contact, there.get(contact.peer)));
    if (items.length !== list.children.length || items.some((item, index) => item !== list.children[index])) {
      list.replaceChildren(...items);
      if (focused) {
        list.querySelector(`[data-peer="${CSS.escape(focused)}"]`)?.focus();
      }
    }
    byId("no-contacts").hidden = shown.length > 0;
    const unread = shown.reduce((sum, contact) => sum + contact.unread, 0);
    document.title = unread ? `(${unread}) Skywire: chat` : "Skywire: chat";
  }

  item(contact, before) {
    const facts = JSON.stringify([contact, contact.peer === this.chosen]);
    if (before?.facts === facts) {
      return before;
    }
    const item = before || make("li", "");
    const line = item.firstElementChild || item.appendChild(make("button", "contact"));
    item.facts = facts;
    line.type = "button";
    line.dataset.peer = contact.peer;
    line.setAttribute("aria-current", String(contact.peer === this.chosen));
    const name = make("span", "name", nameOf(contact));
    name.dir = "auto";
    const presence = make("span", contact.network ? "presence there" : "presence", contact.network ? `Connected, ${inertLine(contact.network)}` : "Not connected");
    line.replaceChildren(name, presence);
    if (contact.unread) {
      line.append(make("span", "unread", `${contact.unread} new`));
    }
    if (contact.waiting) {
      line.append(make("span", "waiting", `${contact.waiting} queued`));
    }
    line.onclick = () => this.open(contact.peer);
    return item;
  }

  async add() {
    const key = byId("new-key").value.trim().toLowerCase();
    const alias = byId("new-name").value.trim();
    say("new-trouble", "");
    if (!KEY.test(key)) {
      this.refuse(`A public key is 66 of the characters 0 to 9 and a to f; this has ${key.length} characters.`);
      return;
    }
    try {
      await (alias ? post("alias", { peer: key, alias }) : get("history", { peer: key, limit: 1 }));
    } catch (error) {
      this.refuse(error.message);
      return;
    }
    byId("new-contact").reset();
    byId("new-key").removeAttribute("aria-invalid");
    byId("new").open = false;
    this.open(key);
  }

  refuse(reason) {
    say("new-trouble", reason);
    byId("new-key").setAttribute("aria-invalid", "true");
    byId("new-key").focus();
  }
}
