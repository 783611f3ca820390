// The stream of a page, while one of its tabs is open.

import { Stream } from "./stream.js";

let stream = null;

addEventListener("connect", ({ ports: [port] }) => {
  port.addEventListener("message", ({ data: [path, kept] }) => {
    stream = stream || new Stream(path, kept);
    stream.add((name, data) => port.postMessage([name, data]));
  });
  port.start();
});
