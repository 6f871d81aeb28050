"use strict";
// The whole state of the page is in its address, behind the `#`: what is shown (show, q), in which
// order (sort, down), what is unfolded (open), where one is (at), the executed notebook (page).
(() => {
  const byId = id => document.getElementById(id);
  const every = (what, from = document) => Array.from(from.querySelectorAll(what));
  const form = byId("filter"), words = byId("words");
  const boxes = every("fieldset input", form);
  const table = byId("results");
  const heads = every("#results thead th");
  const rows = JSON.parse(byId("columns").textContent).map((columns, number) =>
    ({ number, columns, outcome: columns[0], row: table.tBodies[0].rows[number] ?? null,
      text: null, shown: true }));
  const byNumber = rows.slice();
  const failures = every("details.failure");
  const causes = every("article.cause").map(article =>
    ({ article, members: every("details.failure", article) }));
  const opened = every("details[data-result][open]").map(each => each.id);
  let known = null;
  const details = () => known ??= JSON.parse(byId("details").textContent);

  // -- the address ------------------------------------------------------------------------------
  const fresh = () =>
    ({ show: [], q: "", sort: null, down: false, open: opened, at: null, page: null, keys: true });
  const read = () => {
    const found = new URLSearchParams(location.hash.slice(1));
    const state = fresh();
    if (found.has("show")) state.show = found.get("show").split(",").filter(Boolean);
    state.q = found.get("q") ?? "";
    const column = heads.findIndex(head => head.dataset.name === found.get("sort"));
    state.sort = column < 0 ? null : column;
    state.down = found.has("down");
    if (found.has("open")) state.open = found.get("open").split(",").filter(Boolean);
    state.at = found.get("at");
    state.page = found.get("page");
    state.keys = found.get("keys") !== "off";
    return state;
  };
  const written = state => {
    const found = new URLSearchParams();
    if (state.show.length) found.set("show", state.show.join(","));
    if (state.q) found.set("q", state.q);
    if (state.sort !== null) found.set("sort", heads[state.sort].dataset.name);
    if (state.down) found.set("down", "");
    if (state.open.join() !== opened.join()) found.set("open", state.open.join(","));
    if (state.at) found.set("at", state.at);
    if (state.page !== null) found.set("page", state.page);
    if (!state.keys) found.set("keys", "off");
    return found.toString().replaceAll("%2C", ",");
  };
  let state, typing = false;
  const address = push => {
    const text = `#${written(state)}`;
    if (text === (location.hash || "#")) return;
    try {
      history[push ? "pushState" : "replaceState"](null, "", text);
    } catch { /* a browser that counts them: the page goes on without */ }
  };
  const go = (changes, { push = true } = {}) => {
    typing = false;
    Object.assign(state, changes);
    apply();
    address(push);
  };

  // -- what is shown ----------------------------------------------------------------------------
  const text = entry => {
    if (entry.text === null) {
      const more = details().results[entry.number];
      const said = [more, ...(more.attempts ?? [])].flatMap(each => each.failures ?? [])
        .flatMap(each => [each.error, each.traceback]);
      entry.text = [...entry.columns, more.cause, ...said, ...(more.notes ?? [])]
        .join("\n").toLowerCase();
    }
    return entry.text;
  };
  const filter = () => {
    const wanted = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const counts = { failed: 0, flaky: 0, skipped: 0, passed: 0 };
    let shown = 0;
    for (const entry of rows) {
      const found = wanted.every(word => text(entry).includes(word));
      if (found) counts[entry.outcome] += 1;
      entry.shown = found && (!state.show.length || state.show.includes(entry.outcome));
      shown += entry.shown;
    }
    for (const { article, members } of causes) {
      for (const each of members) each.hidden = !byNumber[each.dataset.result].shown;
      article.hidden = members.every(each => each.hidden);
    }
    for (const section of every("main > section")) {
      const inside = every("article.cause", section);
      if (inside.length) section.hidden = inside.every(each => each.hidden);
    }
    every("[data-count]", form).forEach(each => {
      each.textContent = counts[each.dataset.count].toLocaleString("en");
    });
    byId("shown").textContent =
      `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
    const none = !failures.some(each => !each.hidden);
    byId("next").disabled = byId("previous").disabled = none;
  };
  let sorted = "null,false";
  const sort = () => {
    const key = `${state.sort},${state.down}`;
    if (key === sorted) return;
    sorted = key;
    const { sort: column, down } = state;
    rows.sort((a, b) => a.number - b.number);
    if (column !== null) {
      rows.sort((a, b) => {
        const [x, y] = [a.columns[column], b.columns[column]];
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
    }
    heads.forEach((head, number) => {
      if (number === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };

  // -- the table, laid out a hundred rows at a time when they come near -----------------------------
  const CHUNK = 100, ROW_REM = 2.3;
  let sources = null, laid = null;
  const element = entry => {
    if (entry.row === null) {
      sources ??= byId("others").textContent.split(/(?=<tr )/).slice(1);
      const made = document.createElement("template");
      made.innerHTML = sources[entry.number - (byNumber.length - sources.length)];
      entry.row = made.content.firstElementChild;
    }
    return entry.row;
  };
  const fillBody = made => {
    near.unobserve(made);
    if (made.rows.length) return;
    made.append(...made.entries.map(element));
    made.style.minHeight = "";
  };
  const near = new IntersectionObserver(found => {
    for (const each of found) if (each.isIntersecting) fillBody(each.target);
  }, { rootMargin: "1500px" });
  const lay = () => {
    const list = rows.filter(entry => entry.shown);
    if (laid !== null && laid.length === list.length
      && laid.every((entry, place) => entry === list[place])) return;
    laid = list;
    near.disconnect();
    const bodies = [];
    for (let start = 0; start === 0 || start < list.length; start += CHUNK) {
      const made = document.createElement("tbody");
      made.entries = list.slice(start, start + CHUNK);
      made.style.minHeight = `${ROW_REM * made.entries.length}rem`;
      bodies.push(made);
    }
    for (const each of Array.from(table.tBodies)) each.remove();
    table.append(...bodies);
    fillBody(bodies[0]);
    for (const each of bodies.slice(1)) near.observe(each);
  };
  const charts = new IntersectionObserver(found => {
    for (const { isIntersecting, target } of found) {
      if (!isIntersecting) continue;
      charts.unobserve(target);
      target.innerHTML = target.querySelector("noscript").textContent;
    }
  }, { rootMargin: "1500px" });
  for (const each of every("noscript.later")) charts.observe(each.parentElement);

  const foldable = id => {
    const entry = id[0] === "n" ? byNumber[id.slice(1)] : undefined;
    const found = entry ? element(entry).querySelector("details") : byId(id);
    return found?.dataset.result === undefined ? null : found;
  };
  const unfolded = new Set(opened.map(byId));
  const unfold = () => {
    const wanted = new Set(state.open.map(foldable));
    for (const each of unfolded) if (!wanted.has(each)) each.open = false;
    for (const each of wanted) {
      if (each === null) continue;
      fill(each);
      each.open = true;
      unfolded.add(each);
    }
  };
  const apply = () => {
    for (const box of boxes) box.checked = state.show.includes(box.value);
    if (words.value !== state.q) words.value = state.q;
    byId("keys").checked = state.keys;
    sort();
    filter();
    lay();
    unfold();
    page();
  };

  // -- what is unfolded -------------------------------------------------------------------------
  const make = (name, attributes = {}, ...inside) => {
    const made = document.createElement(name);
    for (const [key, each] of Object.entries(attributes)) made.setAttribute(key, each);
    made.append(...inside);
    return made;
  };
  const duration = seconds => {
    const whole = Math.round(seconds);
    if (Number(seconds.toFixed(1)) < 60) return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
    const [more, less, units] = whole < 3600
      ? [Math.floor(whole / 60), whole % 60, ["min", "s"]]
      : [Math.floor(whole / 3600), Math.floor(whole % 3600 / 60), ["h", "min"]];
    return `${more} ${units[0]} ${String(less).padStart(2, "0")} ${units[1]}`;
  };
  const soft = name => name.split(/(?<=[/_-])/).flatMap(each => [each, make("wbr")]).slice(0, -1);
  const pre = (...inside) => make("pre", { tabindex: 0 }, ...inside);
  const failure = told => {
    const parts = [];
    if (told.lines.length) {
      parts.push(pre(...told.lines.map(([number, line, failing]) =>
        make("span", failing ? { class: "failing" } : {},
          `${String(number).padStart(4)}  ${line}\n`))));
    }
    parts.push(make("p", { class: "error long" }, told.error));
    parts.push(make("details", { class: "traceback" },
      make("summary", {}, "Traceback"), pre(told.traceback)));
    return parts;
  };
  const severally = told => told.flatMap((each, number) =>
    [...(told.length > 1 ? [make("h4", {}, each.where)] : []), ...failure(each)]);
  const times = cells => {
    const most = Math.max(...cells.map(each => each[2]), 0.001);
    const longest = cells.findIndex(each => each[2] === most);
    const rows = cells.map(([cell, number, seconds], place) => {
      const bar = make("span", { class: "length" });
      bar.style.width = `${100 * seconds / most}%`;
      const slowest = cells.length > 1 && place === longest;
      return make("tr", slowest ? { class: "slowest" } : {},
        make("th", { scope: "row" }, cell === null ? "injected" : `cells[${cell}]`),
        make("td", {}, number === null ? "" : `In [${number}]`),
        make("td", { class: "right" }, duration(seconds)), make("td", {}, bar),
        make("td", {}, slowest ? "slowest" : ""));
    });
    return make("table", { class: "times" }, make("caption", {}, "Time per cell"),
      make("tbody", {}, ...rows));
  };
  const packages = told => {
    const parts = [];
    if (told.changed) {
      parts.push(make("p", {}, `Other versions than in run ${told.passed}, in which it passed:`));
      parts.push(make("ul", { class: "changed" }, ...told.changed.map(([name, then, now]) =>
        make("li", {}, make("b", {}, name), ` ${then} → ${now}`))));
    }
    if (told.packages !== undefined) {
      const all = details().environments[told.packages];
      const list = all.map(([name, version]) => make("li", {}, `${name} ${version}`));
      parts.push(make("details", { class: "packages" },
        make("summary", {}, `Packages that it imported: ${all.length}`), make("ul", {}, ...list)));
    }
    return parts;
  };
  const earlier = told => {
    const marks = told.earlier.slice().reverse().map(([run, outcome, seconds]) => {
      const said = `${details().runs[run]}: ${outcome}, ${duration(seconds)}`;
      return make("li", { class: outcome, title: said }, make("span", { class: "unseen" }, said));
    });
    return make("div", { class: "past" },
      make("ol", { class: "strip", "aria-label": "Earlier results, the newest last" }, ...marks),
      make("span", {}, told.before ?? ""));
  };
  const tabs = (told, id) => {
    const list = make("div", { role: "tablist", "aria-label": "Attempts" });
    const panels = told.attempts.map((each, number) => make("div",
      { role: "tabpanel", id: `${id}a${number}`, "aria-labelledby": `${id}t${number}` },
      ...severally(each.failures ?? []), ...(each.page ? [make("p", {},
        make("a", { href: each.page }, "executed notebook of this attempt"))] : [])));
    const choose = (chosen, focus) => told.attempts.forEach((_, number) => {
      const tab = list.children[number];
      tab.setAttribute("aria-selected", number === chosen);
      tab.tabIndex = number === chosen ? 0 : -1;
      panels[number].hidden = number !== chosen;
      if (focus && number === chosen) tab.focus();
    });
    told.attempts.forEach((each, number) => {
      const tab = make("button", { type: "button", role: "tab", id: `${id}t${number}`,
        "aria-controls": `${id}a${number}` }, 
        `Attempt ${number + 1}: ${each.outcome}, ${duration(each.seconds)}`);
      tab.addEventListener("click", () => choose(number, false));
      list.append(tab);
    });
    list.addEventListener("keydown", event => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const at = Array.from(list.children).indexOf(document.activeElement);
      choose((at + step + panels.length) % panels.length, true);
    });
    choose(Math.max(told.attempts.findIndex(each => each.chosen), 0), false);
    return [list, ...panels];
  };
  const fill = each => {
    if (each.dataset.filled) return;
    each.dataset.filled = "yes";
    const told = details().results[each.dataset.result];
    const parts = told.attempts ? tabs(told, each.id) : severally(told.failures ?? []);
    if (told.earlier) parts.push(earlier(told));
    else if (told.before) parts.push(make("p", {}, told.before));
    parts.push(...packages(told));
    if (told.cells) parts.push(times(told.cells));
    if (told.figure) {
      parts.push(make("img", { src: told.figure, alt: "Its first figure", class: "figure" }));
    }
    for (const note of told.notes ?? []) parts.push(make("p", { class: "long" }, `Note: ${note}`));
    const last = [];
    if (told.page) {
      const where = told.failures ? "executed notebook, at the failing cell"
        : told.attempts ? "executed notebook of the last attempt" : "executed notebook";
      last.push(make("a", { href: told.page }, where));
    }
    if (told.memory) last.push(`peak memory ${told.memory}`);
    if (told.rerun) last.push(make("span", {}, "run it again: ",
      make("code", { class: "long" }, told.rerun)));
    parts.push(make("p", {}, ...last.flatMap((part, number) => number ? [" · ", part] : [part])));
    each.querySelector(".inside").replaceChildren(...parts);
  };

  // -- one executed notebook, where all are in this file ------------------------------------------
  const shown = () => failures.filter(each => !each.hidden);
  const step = (list, at, by) => list[(at + by + list.length) % list.length];
  const { title } = document;
  let inFrame = null;
  const page = () => {
    const view = byId("page");
    if (view === null || inFrame === state.page) return;
    inFrame = state.page;
    const data = state.page === null ? null : byId(`page${state.page}`);
    view.hidden = data === null;
    byId("report").hidden = data !== null;
    document.documentElement.classList.toggle("whole", data !== null);
    const frame = view.querySelector("main");
    frame.replaceChildren();
    document.title = title;
    if (data === null) return;
    const number = parseInt(state.page, 10);
    const { columns } = byNumber[number];
    const [outcome, path, , seconds] = columns;
    byId("page-outcome").textContent = outcome;
    byId("page-outcome").className = `badge ${outcome}`;
    byId("page-path").replaceChildren(...soft(path));
    byId("page-facts").textContent =
      [duration(seconds), ...columns.slice(-2)].filter(Boolean).join(" · ");
    document.title = `${path}: ${outcome}`;
    const attempts = byId("page-attempts");
    const made = details().results[number].attempts ?? [];
    attempts.replaceChildren(...made.map((each, place) => make("a",
      { href: each.page ?? "#", ...(each.page === `#page=${state.page}` && { "aria-current": "page" }) },
      `Attempt ${place + 1}: ${each.outcome}, ${duration(each.seconds)}`)));
    attempts.hidden = !made.length;
    frame.append(make("iframe", { title: "The executed notebook", sandbox: "allow-scripts",
      referrerpolicy: "no-referrer", srcdoc: JSON.parse(data.textContent) }));
    scrollTo(0, 0);
  };
  const around = by => {
    const failing = shown().map(each => each.querySelector(".inside a[href^='#page=']"));
    const list = failing.filter(Boolean).map(each => each.hash.slice("#page=".length));
    const at = list.findIndex(each => parseInt(each, 10) === parseInt(state.page, 10));
    if (list.length) go({ page: step(list, at < 0 && by < 0 ? 0 : at, by) });
  };

  // -- from failure to failure --------------------------------------------------------------------
  const reveal = each => {
    each.scrollIntoView({ block: "start" });
    each.querySelector("summary").focus({ preventScroll: true });
  };
  const walk = by => {
    if (state.page !== null && byId("page") !== null) return around(by);
    const list = shown();
    if (!list.length) return;
    const at = list.findIndex(each => each.id === state.at);
    const next = step(list, at < 0 && by < 0 ? 0 : at, by);
    go({ at: next.id, open: [...new Set([...state.open, next.id])] }, { push: false });
    reveal(next);
  };

  // -- what people do -----------------------------------------------------------------------------
  heads.forEach((head, column) => {
    if (column >= (rows[0]?.columns.length ?? 0)) return;
    head.dataset.name = head.textContent.trim().toLowerCase();
    const button = make("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () =>
      go({ sort: column, down: state.sort === column && !state.down }));
  });
  form.addEventListener("input", event => {
    if (event.target.type === "checkbox") return;
    const push = !typing;
    state.q = words.value;
    apply();
    address(push);
    typing = true;
  });
  words.addEventListener("blur", () => { typing = false; });
  boxes.forEach(box => box.addEventListener("change", () =>
    go({ show: boxes.filter(each => each.checked).map(each => each.value) })));
  byId("keys").addEventListener("change", event =>
    go({ keys: event.target.checked }, { push: false }));
  form.addEventListener("submit", event => event.preventDefault());
  byId("next").addEventListener("click", () => walk(1));
  byId("previous").addEventListener("click", () => walk(-1));
  document.addEventListener("toggle", event => {
    const each = event.target;
    if (each.dataset?.result === undefined || each.open === state.open.includes(each.id)) return;
    if (each.open) fill(each);
    unfolded[each.open ? "add" : "delete"](each);
    state.open = state.open.filter(id => id !== each.id);
    if (each.open) state.open.push(each.id);
    state.at = each.open ? each.id : state.at;
    address(false);
  }, true);
  document.addEventListener("keydown", event => {
    const typed = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)
      && event.target.type !== "checkbox";
    if (event.key === "Escape" && event.target === words && words.value) return go({ q: "" });
    if (typed || !state.keys || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "n") walk(1);
    else if (event.key === "p") walk(-1);
    else if (event.key === "/" && !form.closest("[hidden]")) {
      event.preventDefault();
      words.focus();
      words.select();
    }
  });
  document.addEventListener("click", event => {
    const link = event.target.closest("a[href]");
    if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const place = link.closest("details[data-result]")
      ?? link.closest("#results tr")?.querySelector("details");
    if (place) go({ at: place.id }, { push: false });  // where Back leads to
    if (!link.getAttribute("href").startsWith("#")) {
      link.hash = location.hash;  // with which its page leads back here
      return;
    }
    event.preventDefault();
    const wanted = new URLSearchParams(link.hash.slice(1));
    if (link.id === "page-next") around(1);
    else if (link.id === "page-previous") around(-1);
    else if (wanted.has("show")) {
      go({ show: [wanted.get("show")], q: wanted.get("q") ?? "" });
      byId("all").scrollIntoView();
    } else go({ page: wanted.get("page") });
  });
  const show = () => {
    const each = state.at && foldable(state.at);
    if (!each) return;
    for (const made of table.tBodies) {
      if (made.entries.some(entry => entry.row?.contains(each))) fillBody(made);
    }
    each.scrollIntoView({ block: "start" });
  };
  const restore = () => {
    const inPage = state === undefined || state.page !== null;
    typing = false;
    state = read();
    apply();
    if (inPage && state.page === null) show();
  };
  addEventListener("popstate", restore);
  addEventListener("pageshow", event => { if (event.persisted) restore(); });
  form.hidden = false;
  restore();
})();
