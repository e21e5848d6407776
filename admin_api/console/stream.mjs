// The live stream. The browser resumes a broken connection by itself with Last-Event-ID; where it gives up (an HTTP
// error), we connect again with a growing delay and the caller loads what it may have missed in `onOpen`.
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;
const KINDS = ['alarm', 'digest', 'terminal', 'position'];

export class Stream {
  /** `handlers`: onEvent(kind, data, id), onOpen(), onLost(). */
  constructor(address, handlers) {
    this.address = address;
    this.handlers = handlers;
    this.delay = FIRST_DELAY_MS;
    this.timer = null;
    this.closed = false;
    this.connect();
  }

  connect() {
    const source = new EventSource(this.address);
    this.source = source;
    source.onopen = () => {
      this.delay = FIRST_DELAY_MS;
      this.handlers.onOpen();
    };
    source.onerror = () => {
      if (this.closed) return;
      this.handlers.onLost();
      if (source.readyState === EventSource.CLOSED) this.later();
    };
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        if (!this.closed) this.handlers.onEvent(kind, JSON.parse(event.data), event.lastEventId);
      });
    }
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (!this.closed) this.connect();
    }, this.delay);
    this.delay = Math.min(this.delay * 2, LONGEST_DELAY_MS);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.source.close();
  }
}
