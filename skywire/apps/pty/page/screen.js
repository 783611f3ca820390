// The terminal itself: xterm.js, in the colours of the page and as large as there is room.

/* global Terminal, FitAddon */

const SMALL = 13;
const USUAL = 15;
const KEYS = { Escape: "\x1b", Tab: "\t", ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D" };
const UTF8 = new TextEncoder();

function theme() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    background: of("--panel"),
    foreground: of("--text"),
    cursor: of("--accent"),
    cursorAccent: of("--panel"),
    selectionBackground: of("--ours"),
  };
}

export class Screen {
  // `on` is told: typed(bytes), resized(size), leave().
  constructor(place, on) {
    this.on = on;
    this.ctrl = false;
    this.terminal = new Terminal({
      fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
      fontSize: innerWidth < 640 ? SMALL : USUAL,
      minimumContrastRatio: 4.5,
      scrollback: 5000,
      theme: theme(),
    });
    this.fitting = new FitAddon.FitAddon();
    this.terminal.loadAddon(this.fitting);
    this.terminal.open(place);
    this.terminal.textarea.setAttribute("aria-describedby", "hint");
    this.terminal.attachCustomKeyEventHandler((event) => this.mindKey(event));
    this.terminal.onData((text) => this.type(text));
    this.terminal.onBinary((text) => on.typed(Uint8Array.from(text, (each) => each.charCodeAt(0))));
    this.terminal.onResize(({ cols, rows }) => on.resized({ columns: cols, rows }));
    new ResizeObserver(() => this.fit()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.terminal.options.theme = theme();
    });
  }

  get size() {
    return { columns: this.terminal.cols, rows: this.terminal.rows };
  }

  fit() {
    const wanted = this.fitting.proposeDimensions();
    if (wanted && wanted.cols > 1 && wanted.rows > 0) {
      this.terminal.resize(Math.min(wanted.cols, 1000), Math.min(wanted.rows, 999));
    }
  }

  type(text) {
    if (this.ctrl && text.length === 1) {
      this.on.hold(false);
      const code = text.toUpperCase().charCodeAt(0);
      text = code >= 64 && code < 96 ? String.fromCharCode(code & 31) : text;
    }
    this.on.typed(UTF8.encode(text));
  }

  press(name) {
    const cursor = this.terminal.modes.applicationCursorKeysMode ? "\x1bO" : "\x1b[";
    this.type(name.startsWith("Arrow") ? cursor + KEYS[name] : KEYS[name]);
  }

  mindKey(event) {
    if (event.shiftKey && event.key === "F6") {
      if (event.type === "keydown") {
        event.preventDefault();
        this.on.leave();
      }
      return false;
    }
    if (event.ctrlKey && event.shiftKey && event.code === "KeyC") {
      if (event.type === "keydown") {
        event.preventDefault(); // which is the browser's key for something else
        this.copy();
      }
      return false;
    }
    return true;
  }

  async copy() {
    if (this.terminal.hasSelection()) {
      await navigator.clipboard.writeText(this.terminal.getSelection());
    }
  }

  async paste() {
    this.terminal.paste(await navigator.clipboard.readText());
  }

  show(bytes, done) {
    this.terminal.write(bytes, done);
  }

  clear() {
    this.terminal.reset();
  }

  read(aloud) {
    this.terminal.options.screenReaderMode = aloud;
  }

  focus() {
    this.terminal.focus();
  }
}
