"use strict";
// The player of a moment: it begins at its start and comes back there, over a curve of similarity.

const WIDTH = 1000, HEIGHT = 100; // units of the curve

class Player {
  constructor() {
    this.part = document.getElementById("player");
    this.video = document.getElementById("video");
    this.curve = document.getElementById("curve");
    this.done = document.getElementById("done");
    this.loop = document.getElementById("loop");
    this.moment = null;
    this.duration = 0;
    this.before = 0; // seconds where the video stood when it was last looked at
    this.video.addEventListener("seeking", () => { this.before = this.video.currentTime; });
    this.video.addEventListener("timeupdate", () => this.follow());
    this.video.addEventListener("loadedmetadata", () => this.begin());
    this.video.addEventListener("ended", () => { if (this.looping()) this.begin(); });
    this.video.addEventListener("error", () => this.fail());
    this.loop.addEventListener("click", () =>
      this.loop.setAttribute("aria-pressed", String(!this.looping())));
    this.curve.addEventListener("click", (event) => {
      const box = this.curve.getBoundingClientRect();
      this.seek(((event.clientX - box.left) / box.width) * this.duration);
    });
    this.curve.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -2, ArrowRight: 2 }[event.key];
      if (!by) return;
      event.preventDefault();
      this.seek(this.video.currentTime + by);
    });
    document.getElementById("cut").addEventListener("click", (event) => this.cut(event.target));
    document.getElementById("link").addEventListener("click", () => this.copyLink());
  }

  /** Play a moment; `others` are moments whose parts of the curve are shaded too. */
  async show(q, moment, others) {
    this.moment = moment;
    this.done.textContent = "";
    this.curve.replaceChildren();
    this.part.hidden = false;
    document.querySelector("main").classList.add("playing");
    this.part.scrollIntoView({ block: "nearest" });
    document.getElementById("shown").textContent = `${moment.video} · ${span(moment)}`;
    const source = `/video/${encodeURIComponent(moment.video)}`;
    if (this.video.getAttribute("src") !== source || this.video.error) this.video.src = source;
    else this.begin();
    const curve = await (await ask("/curve", { video: moment.video, q })).json();
    if (this.moment === moment) this.draw(curve, others);
  }

  hide() {
    this.moment = null;
    this.video.removeAttribute("src");
    this.video.load();
    this.part.hidden = true;
    document.querySelector("main").classList.remove("playing");
  }

  looping() {
    return this.loop.getAttribute("aria-pressed") === "true";
  }

  begin() {
    if (!this.moment) return;
    this.seek(this.moment.start);
    this.video.play().catch(() => {}); // a browser may want a click first: it stands at the start
  }

  seek(seconds) {
    this.video.currentTime = Math.max(0, seconds);
  }

  /** Come back to the start where the moment's end was just played; move the line on the curve. */
  follow() {
    const now = this.video.currentTime;
    const passed = this.moment && this.before < this.moment.end && now >= this.moment.end;
    this.before = now;
    if (passed && this.looping() && !this.video.paused) this.seek(this.moment.start);
    this.curve.setAttribute("aria-valuenow", now.toFixed(1));
    this.curve.setAttribute("aria-valuetext", clock(now));
    const line = this.curve.querySelector(".now");
    if (line) this.place(line, now);
  }

  fail() {
    if (!this.moment || !this.video.getAttribute("src")) return;
    this.done.textContent = "This video cannot be played here: its file is gone, or of a kind that "
      + "this browser does not know. Cut makes an MP4 of the moment.";
  }

  place(line, seconds) {
    const x = (seconds / this.duration) * WIDTH;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }

  /** Draw how well the video fits over its seconds, the moments shaded. */
  draw({ duration, times, fit }, others) {
    this.duration = duration;
    const svg = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" });
    for (const one of [...others.filter((other) => !same(other, this.moment)), this.moment]) {
      svg.append(svgElement("rect", {
        class: one === this.moment ? "moment" : "other",
        x: (one.start / duration) * WIDTH, y: 0,
        width: ((one.end - one.start) / duration) * WIDTH, height: HEIGHT,
      }));
    }
    const low = fit.reduce((a, b) => Math.min(a, b), Infinity);
    const high = fit.reduce((a, b) => Math.max(a, b), -Infinity);
    const points = fit.map((value, index) => {
      const y = HEIGHT * (0.95 - 0.9 * ((value - low) / (high - low || 1)));
      return `${((times[index] / duration) * WIDTH).toFixed(1)},${y.toFixed(1)}`;
    });
    svg.append(svgElement("path", { d: `M${points.join("L")}` }));
    const line = svgElement("line", { class: "now", y1: 0, y2: HEIGHT });
    this.place(line, this.video.currentTime);
    svg.append(line);
    this.curve.replaceChildren(svg);
    this.curve.setAttribute("aria-valuemax", duration.toFixed(1));
    document.querySelector("#scale span:last-child").textContent = clock(duration);
  }

  /** Fetch the moment as a file of its own. */
  async cut(button) {
    const { video, start, end } = this.moment;
    button.disabled = true;
    this.done.textContent = "Cutting …";
    try {
      const clip = await (await ask("/clip", { video, start, end })).blob();
      const link = document.createElement("a");
      link.href = URL.createObjectURL(clip);
      link.download = `${video}-${start.toFixed(2)}-${end.toFixed(2)}.mp4`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      this.done.textContent = `Cut: ${link.download}`;
    } catch (error) {
      this.done.textContent = `Not cut: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  }

  async copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      this.done.textContent = "The link is in the clipboard.";
    } catch { // only pages of this machine, or by HTTPS, may write there
      this.done.textContent = location.href;
    }
  }
}

function svgElement(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
