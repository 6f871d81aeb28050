"use strict";
// Copy buttons, and pages that bring themselves up to date. Every page works without this.
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copies).textContent.trim();
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; }
    catch { button.textContent = "Select it and copy"; }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
// A new state of the page is compared with what is shown, and only what differs is changed: the
// place, open details, what is typed, selected or focused stay, and frames are not loaded again.
const keyOf = node => node.nodeType === 1 ? node.id || node.dataset.key || "" : "";
const same = (old, now) => old.nodeName === now.nodeName && keyOf(old) === keyOf(now);
const KEPT = { DETAILS: ["open"], INPUT: ["value"], BUTTON: ["hidden", "aria-pressed"] };
const morph = (old, now) => {
  if (old.isEqualNode(now)) return;
  if (old.nodeType !== 1) { old.nodeValue = now.nodeValue; return; }
  if (old.matches("script, button.live, button.copy")) return;
  const kept = KEPT[old.nodeName] ?? [];
  for (const { name } of [...old.attributes])
    if (!now.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  for (const { name, value } of now.attributes)
    if (old.getAttribute(name) !== value && !kept.includes(name)) old.setAttribute(name, value);
  const keyed = new Map([...old.childNodes].filter(keyOf).map(each => [keyOf(each), each]));
  const wanted = new Set([...now.childNodes].map(keyOf).filter(Boolean));
  let place = old.firstChild;
  for (const child of now.childNodes) {
    while (place && keyOf(place) && !wanted.has(keyOf(place))) {
      const gone = place; place = place.nextSibling; gone.remove();
    }
    const known = keyOf(child) ? keyed.get(keyOf(child)) : null;
    if (known && known !== place) old.insertBefore(known, place);
    const here = known ?? place;
    if (!here || !same(here, child)) { old.insertBefore(document.importNode(child, true), place); continue; }
    if (here === place) place = place.nextSibling;
    morph(here, child);
  }
  while (place) { const gone = place; place = place.nextSibling; gone.remove(); }
};
const seconds = Number(document.querySelector("meta[name=nbpipe-refresh]").content);
const live = document.querySelector("button.live");
let paused = false;
const refresh = () => {
  if (paused || document.hidden) return;
  const ask = new XMLHttpRequest();
  ask.open("GET", location.href);
  ask.setRequestHeader("Accept", "text/html");
  ask.responseType = "document";
  ask.onload = () => {
    if (ask.status !== 200 || !ask.response || paused) return;
    document.title = ask.response.title;
    for (const part of ["nav", "header", "main"])
      morph(document.querySelector(`body > ${part}`), ask.response.querySelector(`body > ${part}`));
    if (!Number(ask.response.querySelector("meta[name=nbpipe-refresh]").content)) {
      clearInterval(timer); live.hidden = true;
    }
  };
  ask.send();
};
const timer = seconds ? setInterval(refresh, seconds * 1000) : 0;
if (seconds) {
  live.hidden = false;
  live.addEventListener("click", () => {
    paused = !paused;
    live.setAttribute("aria-pressed", paused);
    if (!paused) refresh();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
}
