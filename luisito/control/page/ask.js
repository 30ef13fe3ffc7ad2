// Requests, and the stream of what changes.

const KEY = "luisito";

export class Refused extends Error {
  constructor(status, said) {
    super(said?.error || `the answer is ${status}`);
    this.status = status;
    this.said = said;
  }
}

function header() {
  // any value will do where the kernel says who we are
  return { "X-Luisito": localStorage.getItem(KEY) || "1" };
}

export async function ask(path, method = "GET", more = {}) {
  const response = await fetch(path, { method, headers: { ...header(), ...more } });
  const text = await response.text();
  let said = null;
  try {
    said = JSON.parse(text);
  } catch {
    // a front server's own page
  }
  if (!response.ok) throw new Refused(response.status, said);
  return said;
}

// The same, but null where there is no such resource, or it is not for us.
export async function may(path) {
  try {
    return await ask(path);
  } catch (error) {
    if (error instanceof Refused && [403, 404, 405, 501].includes(error.status)) return null;
    throw error;
  }
}

export async function logIn(token) {
  const said = await ask("/login", "POST", { Authorization: `Bearer ${token}` });
  localStorage.setItem(KEY, said.key);
}

export async function logOut() {
  await ask("/logout", "POST");
  localStorage.removeItem(KEY);
}

export const hasKey = () => localStorage.getItem(KEY) !== null;

// What EventSource does, with a header, which that cannot send.
export class Stream {
  constructor(heard, changed) {
    this.heard = heard;
    this.changed = changed;
    this.wait = 500;
    this.abort = null;
    this.wanted = false;
  }

  start() {
    if (!this.wanted) {
      this.wanted = true;
      this.run();
    }
  }

  stop() {
    this.wanted = false;
    this.abort?.abort();
  }

  async run() {
    while (this.wanted) {
      try {
        await this.follow();
      } catch (error) {
        if (error instanceof Refused && error.status === 401) {
          this.wanted = false;
          this.changed("out");
          return;
        }
      }
      if (!this.wanted) return;
      this.changed("lost");
      await new Promise((go) => setTimeout(go, this.wait));
      this.wait = Math.min(this.wait * 2, 10000);
    }
  }

  async follow() {
    this.abort = new AbortController();
    const response = await fetch("/events/stream", { headers: header(), signal: this.abort.signal });
    if (!response.ok) throw new Refused(response.status, null);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const messages = text.split("\n\n");
      text = messages.pop();
      for (const message of messages) this.read(message);
    }
  }

  read(message) {
    let kind = "message";
    let data = "";
    for (const line of message.split("\n")) {
      if (line.startsWith("event: ")) kind = line.slice(7);
      else if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (!data) return;
    if (kind === "hello") {
      this.wait = 500;
      this.changed("live");
    }
    this.heard(kind, JSON.parse(data));
  }
}
