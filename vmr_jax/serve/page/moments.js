"use strict";
// What the server is asked, and how times and moments are told.

/** Ask the server; throws an Error with a line for the user. */
async function ask(path, values) {
  let answer;
  try {
    answer = await fetch(`${path}?${new URLSearchParams(values)}`);
  } catch {
    throw new Error("The server does not answer: is `vmr serve` still running?");
  }
  if (answer.ok) return answer;
  let reason = `${answer.status} ${answer.statusText}`;
  try {
    reason = (await answer.json()).error ?? reason;
  } catch { /* no JSON: the status is all that is known */ }
  throw new Error(reason);
}

/** Seconds as m:ss or h:mm:ss, with tenths if asked for. */
function clock(seconds, tenths = false) {
  const whole = tenths ? Math.round(seconds * 10) / 10 : Math.round(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = (whole % 60).toFixed(tenths ? 1 : 0).padStart(tenths ? 4 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** The time span of a moment. */
function span(moment) {
  return `${clock(moment.start, true)} – ${clock(moment.end, true)}`;
}

/** Whether two moments are the same part of the same video. */
function same(one, other) {
  return one.video === other.video && Math.abs(one.start - other.start) < 0.01
    && Math.abs(one.end - other.end) < 0.01;
}

/** What the address says behind "#": {q, moment or null}. */
function fromAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const moment = {
    video: said.get("video"), start: Number(said.get("start")), end: Number(said.get("end")),
  };
  const whole = moment.video && moment.start >= 0 && moment.end > moment.start;
  return { q: said.get("q") ?? "", moment: whole ? moment : null };
}

/** Put a search, and perhaps a moment, behind "#" in the address. */
function toAddress(q, moment) {
  const said = new URLSearchParams({ q });
  for (const name of moment ? ["video", "start", "end"] : []) said.set(name, moment[name]);
  history.replaceState(null, "", q ? `#${said}` : location.pathname);
}
