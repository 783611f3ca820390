// Writing: a draft for each contact, answers, and files in pieces.

import { forget, post, postPiece } from "./asking.js";
import { excerpt } from "./message.js";
import { byId, inertLine, say, size } from "./parts.js";

const LONGEST = 4096;
const NEAR_END = 500;
const PIECE = 512 * 1024;

const bytesOf = (text) => new TextEncoder().encode(text).length;

export class Composer {
  constructor() {
    this.peer = "";
    this.reply = null;
    this.isSending = false;
    this.upload = null;
    this.text = byId("text");
    this.text.addEventListener("input", () => this.changed());
    this.text.addEventListener("keydown", (event) => this.pressed(event));
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    byId("no-reply").addEventListener("click", () => this.answer(null));
    byId("file").addEventListener("change", () => {
      const [file] = byId("file").files;
      byId("file").value = "";
      this.sendFile(file);
    });
    document.addEventListener("dragover", (event) => event.preventDefault());
    document.addEventListener("drop", (event) => this.dropped(event));
    byId("stop-sending").addEventListener("click", () => this.upload?.stop.abort());
  }

  open(peer) {
    this.peer = peer;
    this.text.value = sessionStorage.getItem(`draft ${peer}`) || "";
    say("trouble", "");
    this.answer(null);
    this.changed();
  }

  answer(message) {
    this.reply = message;
    byId("replying").hidden = message === null;
    say("replying-to", message ? `Reply to: ${excerpt(message)}` : "");
    if (message) {
      this.text.focus();
    }
  }

  changed() {
    const text = this.text.value;
    if (text) {
      sessionStorage.setItem(`draft ${this.peer}`, text);
    } else {
      sessionStorage.removeItem(`draft ${this.peer}`);
    }
    const rest = LONGEST - bytesOf(text);
    const isNear = rest < NEAR_END;
    say("count", isNear ? (rest < 0 ? `${-rest} bytes too long` : `${rest} bytes left`) : "");
    byId("count").classList.toggle("bad", rest < 0);
    this.text.setAttribute("aria-invalid", String(rest < 0));
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight + 2}px`;
  }

  pressed(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.send();
    } else if (event.key === "Escape" && this.reply) {
      this.answer(null);
    }
  }

  async send() {
    const { peer, reply } = this;
    const text = this.text.value;
    if (this.isSending || text.trim() === "") {
      return;
    }
    if (bytesOf(text) > LONGEST) {
      say("trouble", `A message has up to ${LONGEST} bytes; send it as several.`);
      return;
    }
    this.isSending = true;
    say("trouble", "");
    try {
      await post("message", { recipient: peer, message: text, reply_to: reply ? reply.id : "" });
    } catch (error) {
      say("trouble", error.message);
      return;
    } finally {
      this.isSending = false;
    }
    if (this.peer !== peer) {
      sessionStorage.removeItem(`draft ${peer}`);
    } else if (this.text.value === text) {
      this.text.value = "";
      this.answer(null);
      this.changed();
    }
    this.text.focus();
  }

  // Without this a browser leaves the page for what is dropped on it.
  dropped(event) {
    const items = [...event.dataTransfer.items];
    if (items.some((item) => item.kind === "string") && event.target === this.text) {
      return; // words
    }
    event.preventDefault();
    if (items.some((item) => item.webkitGetAsEntry?.()?.isDirectory)) {
      say("trouble", "A folder cannot be sent; make one file of it first.");
    } else if (event.dataTransfer.files.length > 1) {
      say("trouble", "Files are sent one at a time.");
    } else {
      this.sendFile(event.dataTransfer.files[0]);
    }
  }

  async sendFile(file) {
    if (!file || !this.peer) {
      return;
    }
    if (this.upload) {
      say("trouble", "Files are sent one at a time.");
      return;
    }
    this.upload = { stop: new AbortController() };
    say("trouble", "");
    say("sending-name", `Sending ${inertLine(file.name)}, ${size(file.size)}`);
    byId("progress").value = 0;
    byId("sending").hidden = false;
    let key = "";
    try {
      let progress = await post("file", { recipient: this.peer, name: file.name, size: file.size });
      key = progress.upload;
      while (!progress.sent) {
        const piece = file.slice(progress.done, progress.done + PIECE);
        progress = await postPiece(`upload/${key}?offset=${progress.done}`, piece, this.upload.stop.signal);
        byId("progress").value = file.size ? progress.done / file.size : 1;
      }
    } catch (error) {
      const wasStopped = error.name === "AbortError";
      say("trouble", wasStopped ? "The file was not sent." : `The file was not sent: ${error.message}`);
      if (key) {
        forget(`upload/${key}`).catch(() => {}); // it goes by itself, only later
      }
    } finally {
      this.upload = null;
      byId("sending").hidden = true;
    }
  }
}
