// How many servers to allow.

import { may } from "./ask.js";
import { byId, bytes, plain, put } from "./words.js";

export class AdvicePage {
  constructor(main) {
    main.replaceChildren(byId("advice-page").content.cloneNode(true));
    this.drawing = null;
    this.closed = false;
    this.load();
  }

  async load() {
    const told = await may("/advice/drawing").catch(() => null);
    if (this.closed) return;
    if (told === null) {
      put(byId("words"), "Only an operator is told, by a Luisito that answers.");
      return;
    }
    put(byId("words"), told.words);
    if (told.svg) {
      const image = byId("curve");
      this.drawing = URL.createObjectURL(new Blob([told.svg], { type: "image/svg+xml" }));
      image.src = this.drawing;
      image.alt = `Cold starts a day by the number of servers. ${told.words}. The same figures are in the table below.`;
      byId("curve-part").hidden = false;
    }
    if (told.rows.length) {
      const rows = told.rows.map((row) => [row.servers, bytes(row.memory_bytes), Math.round(row.cold_a_day * 10) / 10]);
      byId("advice-rows").replaceChildren(plain(["Servers", "Memory", "Cold starts a day"], rows, "Cold starts a day by the number of servers"));
      byId("advice-rows").hidden = false;
    }
  }

  close() {
    this.closed = true;
    if (this.drawing) URL.revokeObjectURL(this.drawing);
  }
}
