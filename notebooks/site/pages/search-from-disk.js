// A page that is opened from disk may start no worker, so the search runs in a frame instead.
// Stands in for Worker as far as the theme's search needs: messages, and importScripts.
window.IFrameWorker = class extends EventTarget {
  constructor(url) {
    super();
    this.waiting = [];
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    this.inner = frame.contentWindow;
    this.inner.postMessage = (data) => setTimeout(() => this.dispatchEvent(new MessageEvent("message", { data })));
    this.inner.importScripts = (...urls) => Promise.all(urls.map((each) => this.load(each)));
    this.load(url).then(() => {
      for (const data of this.waiting.splice(0)) this.deliver(data);
      this.waiting = null;
    });
  }

  load(url) {
    return new Promise((loaded, failed) => {
      const script = this.inner.document.createElement("script");
      Object.assign(script, { src: new URL(url, location.href).href, async: false, onload: loaded, onerror: failed });
      this.inner.document.head.append(script);
    });
  }

  postMessage(data) {
    if (this.waiting) this.waiting.push(data);
    else this.deliver(data);
  }

  deliver(data) {
    setTimeout(() => this.inner.dispatchEvent(new this.inner.MessageEvent("message", { data })));
  }

  terminate() {
    this.inner.frameElement.remove();
  }
};
if (location.protocol === "file:") window.Worker = window.IFrameWorker;
