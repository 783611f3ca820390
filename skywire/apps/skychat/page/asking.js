// What the page asks of the app, and what the app tells it.

import { follow } from "./stream.js";

export class Refused extends Error {}

async function answerOf(response) {
  let answer = {};
  try {
    answer = await response.json();
  } catch {
    // it was refused before the app saw it
  }
  if (response.ok) {
    return answer;
  }
  if (response.status === 401) {
    throw new Refused("This page is not open to you any more; ask for its address again.");
  }
  throw new Refused(answer.error || `It was refused, with status ${response.status}.`);
}

async function fetched(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new Refused("There is no connection. Try again.");
  }
  return answerOf(response);
}

export function get(path, parameters = {}) {
  return fetched(`${path}?${new URLSearchParams(parameters)}`);
}

export function post(path, asked, options = {}) {
  return fetched(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(asked),
    ...options,
  });
}

export function postPiece(path, piece, signal) {
  return fetched(path, { method: "POST", headers: { "content-type": "application/octet-stream" }, body: piece, signal });
}

export function forget(path) {
  return fetched(path, { method: "DELETE" });
}

// Who comes later is told the last greeting and the contacts; messages are asked for.
const KEPT = { hello: 1, contacts: 1, message: 0 };

export function listen(told) {
  follow("sse", KEPT, (name, data) => told[name](data));
}
