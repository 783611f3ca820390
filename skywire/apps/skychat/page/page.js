// The page: which contact is open, and what the app tells.

import { listen, post } from "./asking.js";
import { Composer } from "./composer.js";
import { Contacts, presenceOf } from "./contacts.js";
import { Conversation } from "./conversation.js";
import { byId, nameOf, say } from "./parts.js";

const composer = new Composer();
const contacts = new Contacts(open);
const conversation = new Conversation({
  contactOf: (peer) => contacts.of(peer),
  onReply: (message) => composer.answer(message),
});
let isFirst = true;

function open(peer) {
  document.body.classList.add("talking");
  byId("conversation").hidden = false;
  byId("none-open").hidden = true;
  closeRename();
  contacts.choose(peer);
  composer.open(peer);
  showWho();
  conversation.open(peer);
  sessionStorage.setItem("open", peer);
  byId("text").focus();
}

function close() {
  const peer = conversation.peer;
  document.body.classList.remove("talking");
  byId("conversation").hidden = true;
  byId("none-open").hidden = false;
  contacts.choose("");
  composer.open("");
  conversation.open("");
  sessionStorage.removeItem("open");
  (document.querySelector(`[data-peer="${CSS.escape(peer)}"]`) || byId("contacts")).focus();
}

function showWho() {
  const contact = contacts.of(contacts.chosen);
  say("peer-title", nameOf(contact));
  say("presence", presenceOf(contact));
  say("peer-key", contact.peer);
}

function closeRename() {
  byId("rename-form").hidden = true;
  byId("rename").setAttribute("aria-expanded", "false");
  say("rename-trouble", "");
}

function toggleRename() {
  const isHidden = !byId("rename-form").hidden;
  closeRename();
  if (!isHidden) {
    byId("rename-form").hidden = false;
    byId("rename").setAttribute("aria-expanded", "true");
    byId("alias").value = contacts.of(contacts.chosen).alias;
    byId("alias").focus();
  }
}

async function rename(event) {
  event.preventDefault();
  try {
    await post("alias", { peer: contacts.chosen, alias: byId("alias").value.trim() });
  } catch (error) {
    say("rename-trouble", error.message);
    return;
  }
  closeRename();
  byId("rename").focus();
}

async function copyKey() {
  try {
    await navigator.clipboard.writeText(byId("own-key").textContent);
    say("copied", "Copied");
  } catch {
    getSelection().selectAllChildren(byId("own-key"));
    say("copied", "It is selected: copy it with the keyboard");
  }
}

function sayConnection(text, isGood) {
  say("connection", text);
  byId("connection").className = isGood ? "good" : "bad";
  byId("banner").hidden = isGood;
  document.body.classList.toggle("lost", !isGood); // who is there is not known then
  say("banner", isGood ? "" : `${text}. What you write stays here.`);
}

listen({
  hello({ resumed, status }) {
    sayConnection("Live", true);
    say("own-key", status.public);
    if (isFirst) {
      isFirst = false;
      const last = sessionStorage.getItem("open");
      if (last) {
        open(last);
      }
    } else if (conversation.peer && (!resumed || conversation.isMissing)) {
      conversation.open(conversation.peer);
    }
  },
  message: (message) => conversation.take(message),
  contacts({ contacts: known }) {
    contacts.show(known);
    showWho();
  },
  trouble: ({ reason }) => sayConnection(reason, false),
});

byId("back").addEventListener("click", close);
byId("rename").addEventListener("click", toggleRename);
byId("rename-form").addEventListener("submit", rename);
byId("rename-form").addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    closeRename();
    byId("rename").focus();
  }
});
byId("copy-key").addEventListener("click", copyKey);
