// The websocket of one terminal. It is made anew when it is lost; nothing that is typed or shown is lost or doubled then.
// How the two ends talk is written in page_messages.py.

const MOST_INPUT = 65536; // bytes on their way that were not taken yet
const MOST_WAITING = 1 << 24; // bytes that wait here, of what is pasted
const PIECE = 16384;
const FIRST_WAIT = 300; // milliseconds
const LONGEST_WAIT = 5000;
const MISTAKEN = 1008;
const NOT_OPEN = 401;
const LOST = "Connection lost, trying again";
const CLOSED = "This page is not open to you any more; ask for its address again";

export class Line {
  // `on` is told: began(line), show(bytes, done), state(text, good), over(text, canGoOn).
  constructor(peer, id, size, on) {
    Object.assign(this, { peer, id, size, on });
    this.got = -1; // bytes of output; -1 for none that are still shown
    this.waiting = new Uint8Array(0); // input that was not taken yet
    this.taken = 0; // where that begins
    this.sent = 0;
    this.wait = FIRST_WAIT;
    this.timer = 0;
    this.ending = false;
    this.open();
  }

  open() {
    const address = new URL("socket", location.href);
    address.protocol = "ws:";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.live = false;
    socket.addEventListener("open", () => {
      const { peer, id, got, size } = this;
      this.say(id ? { kind: "go_on", peer, id, have: got, ...size } : { kind: "begin", peer, ...size });
    });
    socket.addEventListener("message", ({ data }) => socket === this.socket && this.hear(data));
    socket.addEventListener("close", ({ code, reason }) => socket === this.socket && this.lose(code, reason));
    this.on.state(this.got < 0 ? "Connecting" : LOST, false);
  }

  say(facts) {
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify(facts));
    }
  }

  hear(data) {
    if (typeof data === "string") {
      const facts = JSON.parse(data);
      this[`hear_${facts.kind}`](facts);
      return;
    }
    const { socket } = this;
    this.got += data.byteLength;
    // The next piece comes when this one is shown: so a flood waits in the program, and not in here.
    this.on.show(new Uint8Array(data), () => socket === this.socket && this.say({ kind: "have", count: this.got }));
  }

  hear_began({ id, offset, received }) {
    if (received < this.taken || received > this.taken + this.waiting.length) {
      this.waiting = new Uint8Array(0); // the app was started anew, and knows nothing of it
      this.taken = received;
    }
    this.sent = received;
    this.id = id;
    this.got = offset;
    this.live = true;
    this.wait = FIRST_WAIT;
    this.on.state("Connected", true);
    this.on.began(this);
    this.say({ kind: "resize", ...this.size });
    this.flush();
  }

  hear_taken({ count }) {
    this.waiting = this.waiting.subarray(Math.max(0, count - this.taken));
    this.taken = count;
    this.flush();
  }

  hear_trouble({ text }) {
    this.on.state(text ? `${text}; trying again` : "Connected", !text);
  }

  hear_over({ code, signal }) {
    this.close(signal ? `Ended by signal ${signal}` : `Ended with exit status ${code}`, false);
  }

  hear_refused({ text }) {
    this.close(text, false);
  }

  hear_elsewhere() {
    this.close("This session was opened in another page", true);
  }

  lose(code, reason) {
    this.live = false;
    if (code === MISTAKEN) {
      this.close(reason, true);
      return;
    }
    if (this.ending) {
      this.close("Ended", false);
      return;
    }
    this.on.state(LOST, false);
    this.timer = setTimeout(() => this.retry(), this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT);
  }

  // A websocket does not tell why it is refused.
  async retry() {
    const answer = await fetch("terminals").catch(() => null);
    if (answer?.status === NOT_OPEN && this.socket) {
      this.close(CLOSED, true);
    } else if (this.socket) {
      this.open();
    }
  }

  // Input of the terminal, as bytes.
  type(bytes) {
    if (!this.socket || this.waiting.length + bytes.length > MOST_WAITING) {
      return;
    }
    const all = new Uint8Array(this.waiting.length + bytes.length);
    all.set(this.waiting);
    all.set(bytes, this.waiting.length);
    this.waiting = all;
    this.flush();
  }

  flush() {
    while (this.live && this.socket?.readyState === WebSocket.OPEN) {
      const start = this.sent - this.taken;
      const piece = this.waiting.subarray(start, Math.min(start + PIECE, MOST_INPUT));
      if (!piece.length) {
        return;
      }
      this.sent += piece.length;
      this.socket.send(piece);
    }
  }

  resize(size) {
    this.size = size;
    if (this.live) {
      this.say({ kind: "resize", ...size });
    }
  }

  end() {
    this.ending = true;
    this.say({ kind: "end" });
  }

  // Let the session go on alone.
  leave() {
    const { socket } = this;
    this.socket = null;
    this.live = false;
    clearTimeout(this.timer);
    socket?.close();
  }

  close(text, canGoOn) {
    this.leave();
    this.on.state(text, false);
    this.on.over(text, canGoOn);
  }
}
