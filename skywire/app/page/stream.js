// One stream of events for all tabs of a page: a browser has six connections to an address, and a stream keeps one.

const LOST = "Connection lost, trying again";
const CLOSED = "This page is not open to you any more; ask for its address again";

// What the app tells, to all who want to know. A browser connects again by itself, and names the last that it has got.
export class Stream {
  constructor(path, kept) {
    this.kept = kept;
    this.readers = [];
    this.past = new Map(Object.keys(kept).map((name) => [name, []]));
    this.trouble = "";
    const source = new EventSource(path);
    for (const name of this.past.keys()) {
      source.addEventListener(name, (event) => this.tell(name, JSON.parse(event.data)));
    }
    source.addEventListener("trouble", (event) => this.complain(JSON.parse(event.data).reason));
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) {
        this.complain(CLOSED);
      } else if (!this.trouble) {
        this.complain(LOST);
      }
    });
  }

  // Who comes later is told first what was kept.
  add(reader) {
    this.readers.push(reader);
    for (const [name, all] of this.past) {
      all.forEach((data) => reader(name, data));
    }
    if (this.trouble) {
      reader("trouble", { reason: this.trouble });
    }
  }

  tell(name, data) {
    this.trouble = "";
    const all = this.past.get(name);
    all.push(data);
    all.splice(0, all.length - this.kept[name]);
    this.readers.forEach((reader) => reader(name, data));
  }

  complain(reason) {
    this.trouble = reason;
    this.readers.forEach((reader) => reader("trouble", { reason }));
  }
}

// Be told each event by its name: those that are named in `kept`, each with how many of it a tab is told that is opened
// later, and `trouble` with a reason, which is over when another one comes.
export function follow(path, kept, told) {
  const alone = () => new Stream(path, kept).add(told);
  if (!globalThis.SharedWorker) {
    alone();
    return;
  }
  const worker = new SharedWorker("stream_worker.js", { type: "module" });
  worker.addEventListener("error", alone, { once: true });
  worker.port.addEventListener("message", ({ data: [name, data] }) => told(name, data));
  worker.port.start();
  worker.port.postMessage([path, kept]);
  // A tab that a browser has laid aside, and takes out again, does not know what it has missed.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
}
