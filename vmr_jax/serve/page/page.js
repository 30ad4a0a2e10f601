"use strict";
// The page: a search, its results as cards, keys, and the address that brings both back.

const STEP = 12, MOST = 100; // results
const OFTEN = 2000, RARELY = 15000; // milliseconds
const EMPTY = "The index has no videos yet: `vmr index VIDEOS --out INDEX` fills it.";
const form = document.getElementById("search"), query = document.getElementById("query");
const results = document.getElementById("results"), more = document.getElementById("more");
const state = document.getElementById("state"), failure = document.getElementById("error");
const progress = document.getElementById("progress");
const modality = document.getElementById("modality");
const player = new Player();
let found = []; // moments on the page
let asked = 0; // number of the last search
let known = null; // videos of the index

function tell(text, empty = false) {
  state.textContent = text;
  state.classList.toggle("empty", empty);
}

function fail(error) {
  failure.textContent = error ? error.message : "";
  failure.hidden = !error;
}

/** Search and show the cards; the moment, if any, is played. */
async function search(q, { top = STEP, moment = null } = {}) {
  const number = ++asked;
  if (!q.trim()) return welcome();
  fail(null);
  tell("Searching …");
  try {
    const { moments } = await (await ask("/search", { q, top, modality: modality.value })).json();
    if (number !== asked) return;
    found = moments;
    showCards();
    more.hidden = moments.length < top || top >= MOST;
    if (moments.length) tell(`${moments.length} moments, best first`);
    else tell(EMPTY, true);
    if (moment) play(found.find((one) => same(one, moment)) ?? moment);
  } catch (error) {
    if (number !== asked) return;
    found = [];
    showCards();
    more.hidden = true;
    tell("");
    fail(error);
  }
}

/** What the page says before the first search. */
async function welcome() {
  const number = ++asked;
  found = [];
  showCards();
  more.hidden = true;
  fail(null);
  try {
    const { count, seconds } = await (await ask("/videos", { top: 1 })).json();
    if (number !== asked) return;
    const many = `${count.toLocaleString()} video${count === 1 ? "" : "s"}, ${clock(seconds)}`;
    tell(count ? `${many}. Say what happens, such as “a person opens a door”.` : EMPTY, true);
  } catch (error) {
    if (number === asked) fail(error);
  }
}

function showCards() {
  const scores = found.map((one) => one.score);
  const best = Math.max(...scores), worst = Math.min(...scores);
  results.replaceChildren(...found.map((moment) => {
    const item = document.getElementById("card").content.cloneNode(true).firstElementChild;
    const card = item.querySelector(".card"), picture = item.querySelector("img");
    const share = best > worst ? (moment.score - worst) / (best - worst) : 1;
    const middle = ((moment.start + moment.end) / 2).toFixed(2);
    picture.src = `/thumbnail?${new URLSearchParams({ video: moment.video, seconds: middle })}`;
    picture.addEventListener("error", () => picture.removeAttribute("src"));
    item.querySelector(".name").textContent = moment.video;
    const likely = moment.probability === null ? "" : ` · ${Math.round(100 * moment.probability)} %`;
    item.querySelector(".span").textContent = span(moment) + likely;
    item.querySelector(".bar span").style.width = `${8 + 92 * share}%`;
    card.title = `${moment.video}, score ${moment.score.toFixed(3)}, by ${moment.found_by}`;
    card.addEventListener("click", () => play(moment));
    return item;
  }));
}

async function play(moment) {
  const q = query.value.trim();
  toAddress(q, moment);
  mark(moment);
  fail(null);
  try {
    await player.show(q, moment, found.filter((one) => one.video === moment.video));
  } catch (error) {
    fail(error);
  }
}

/** Mark the card of the moment that plays. */
function mark(moment) {
  cards().forEach((card, index) =>
    card.setAttribute("aria-current", String(moment !== null && same(found[index], moment))));
}

function close() {
  player.hide();
  mark(null);
  toAddress(query.value.trim(), null);
}

function cards() {
  return [...results.querySelectorAll(".card")];
}

/** Move the focus to the card that lies `by` from the one that has it. */
function move(by) {
  const all = cards();
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? 0 : Math.max(0, Math.min(all.length - 1, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inPlayer = player.part.contains(document.activeElement);
  const typing = document.activeElement === query;
  const steps = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 };
  if (event.key === "/" && !typing) query.focus(), query.select();
  else if (event.key === "Escape" && !player.part.hidden) close(), query.focus();
  else if (event.key === "ArrowUp" && document.activeElement === cards()[0]) query.focus();
  else if (typing ? event.key === "ArrowDown" : !inPlayer && steps[event.key]) move(steps[event.key]);
  else return;
  event.preventDefault();
}

/** Say how far a `vmr index` is that runs, and look again: sooner while one does. */
async function follow() {
  let wait = RARELY;
  try {
    const { speech, indexing, videos } = await (await ask("/health", {})).json();
    modality.hidden = !speech;
    progress.hidden = !indexing;
    if (indexing) {
      wait = OFTEN;
      progress.textContent = `Indexing: ${indexing.done} of ${indexing.videos} new or changed `
        + "videos are read; they can be searched when it ends.";
    }
    if (known !== null && known !== videos && !query.value.trim()) welcome();
    known = videos;
  } finally {
    setTimeout(() => follow().catch(() => {}), wait); // a server that is gone may come back
  }
}

function restore() {
  const { q, moment } = fromAddress();
  query.value = q;
  if (!moment) player.hide();
  search(q, { moment });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  close();
  search(query.value.trim());
});
modality.addEventListener("change", () => form.requestSubmit());
more.addEventListener("click", () =>
  search(query.value.trim(), { top: Math.min(MOST, found.length + STEP), moment: player.moment }));
document.getElementById("close").addEventListener("click", close);
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", restore);
follow().catch(fail);
restore();
