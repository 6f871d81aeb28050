"use strict";
// The whole state of the page is in its address, behind the `#`: what is shown (show, q), in which
// order (sort, down), what is unfolded (open), where one is (at), the executed notebook (page).
(() => {
  const byId = id => document.getElementById(id);
  const every = (what, from = document) => Array.from(from.querySelectorAll(what));
  const form = byId("filter"), words = byId("words");
  const boxes = every("fieldset input", form);
  const body = document.querySelector("#results tbody");
  const heads = every("#results thead th");
  const rows = Array.from(body.rows, (row, number) =>
    ({ row, number, outcome: row.dataset.outcome, text: null, shown: true }));
  const failures = every("details.failure");
  const causes = every("article.cause").map(article =>
    ({ article, members: every("details.failure", article), rest: article.querySelector(".rest") }));
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
    return found.toString().replaceAll("%2C", ",").replace(/=(?=&|$)/g, each => each);
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
      const said = (more.failures ?? []).flatMap(each => [each.error, each.traceback]);
      entry.text = [entry.row.textContent, more.cause, ...said, ...(more.notes ?? [])]
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
      if (entry.row.hidden === entry.shown) entry.row.hidden = !entry.shown;
      shown += entry.shown;
    }
    byNumber.forEach((entry, number) => { visible[number] = entry.shown; });
    for (const { article, members, rest } of causes) {
      let any = false, more = false;
      for (const each of members) {
        const seen = visible[each.dataset.result];
        if (each.hidden === seen) each.hidden = !seen;
        any ||= seen;
        if (seen && rest !== null && rest.contains(each)) more = true;
      }
      article.hidden = !any;
      if (rest !== null) rest.hidden = !more;
    }
    for (const section of every("main > section")) {
      const inside = every("article.cause", section);
      if (inside.length) section.hidden = inside.every(each => each.hidden);
    }
    every("[data-count]", form).forEach(each => { each.textContent = counts[each.dataset.count]; });
    byId("shown").textContent = `${shown} of ${rows.length}`;
    const none = !failures.some(each => !each.hidden);
    byId("next").disabled = byId("previous").disabled = none;
  };
  const byNumber = rows.slice();
  const visible = rows.map(() => true);
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
  };
  let sorted = "null,false";
  const sort = () => {
    const key = `${state.sort},${state.down}`;
    if (key === sorted) return;
    sorted = key;
    const { sort: column, down } = state;
    rows.sort((a, b) => a.number - b.number);
    if (column !== null) {
      const values = new Map(rows.map(entry => [entry, value(entry.row, column)]));
      rows.sort((a, b) => {
        const [x, y] = [values.get(a), values.get(b)];
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
    }
    body.append(...rows.map(entry => entry.row));
    heads.forEach((head, number) => {
      if (number === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };
  const unfold = () => {
    const wanted = new Set(state.open);
    for (const each of every("details[data-result][open]")) {
      if (!wanted.has(each.id)) each.open = false;
    }
    for (const id of wanted) {
      const each = byId(id);
      if (each === null || each.dataset.result === undefined) continue;
      const rest = each.closest(".rest");
      if (rest !== null) rest.open = true;
      fill(each);
      each.open = true;
    }
  };
  const apply = () => {
    for (const box of boxes) box.checked = state.show.includes(box.value);
    if (words.value !== state.q) words.value = state.q;
    byId("keys").checked = state.keys;
    sort();
    filter();
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
    const rows = cells.map(([name, prompt, seconds, told]) => {
      const bar = make("span", { class: "length" });
      bar.style.width = `${100 * seconds / most}%`;
      const slowest = cells.length > 1 && seconds === most;
      return make("tr", slowest ? { class: "slowest" } : {},
        make("th", { scope: "row" }, name), make("td", {}, prompt),
        make("td", { class: "right" }, told), make("td", {}, bar),
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
    const marks = told.earlier.toReversed().map(([run, outcome, time]) =>
      make("li", { class: outcome, title: `${run}: ${outcome}, ${time}` },
        make("span", { class: "unseen" }, `${run}: ${outcome}, ${time}`)));
    return make("div", { class: "past" }, make("span", {}, "Before, the newest at the right:"),
      make("ol", { class: "strip" }, ...marks));
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
        "aria-controls": `${id}a${number}` }, `Attempt ${number + 1}: ${each.outcome}, ${each.time}`);
      tab.addEventListener("click", () => choose(number, false));
      list.append(tab);
    });
    list.addEventListener("keydown", event => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const at = Array.from(list.children).indexOf(document.activeElement);
      choose((at + step + panels.length) % panels.length, true);
    });
    choose(0, false);
    return [list, ...panels];
  };
  const fill = each => {
    if (each.dataset.filled) return;
    each.dataset.filled = "yes";
    const told = details().results[each.dataset.result];
    const parts = told.attempts ? tabs(told, each.id) : severally(told.failures ?? []);
    if (told.before) parts.push(make("p", {}, told.before));
    if (told.earlier) parts.push(earlier(told));
    parts.push(...packages(told));
    if (told.cells) parts.push(times(told.cells));
    if (told.figure) {
      parts.push(make("img", { src: told.figure, alt: "Its first figure", class: "figure" }));
    }
    for (const note of told.notes ?? []) parts.push(make("p", { class: "long" }, `Note: ${note}`));
    const last = [];
    if (told.page) {
      const where = told.failures ? "executed notebook, at the failing cell" : "executed notebook";
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
    if (data === null) return;
    const row = byNumber[state.page].row;
    byId("page-outcome").textContent = row.dataset.outcome;
    byId("page-outcome").className = `badge ${row.dataset.outcome}`;
    byId("page-path").replaceChildren(...soft(row.cells[1].textContent));
    frame.append(make("iframe", { title: "The executed notebook", sandbox: "allow-scripts",
      referrerpolicy: "no-referrer", srcdoc: JSON.parse(data.textContent) }));
    scrollTo(0, 0);
  };
  const around = by => {
    const list = shown().map(each => each.dataset.result).filter(each => byId(`page${each}`));
    const at = list.indexOf(state.page);
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
    head.dataset.name = head.textContent.trim().toLowerCase();
    const button = make("button", { type: "button" }, head.textContent);
    head.replaceChildren(button);
    button.addEventListener("click", () =>
      go({ sort: column, down: state.sort === column && !state.down }));
  });
  words.addEventListener("input", () => {
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
  if (byId("page") !== null) {
    document.addEventListener("click", event => {
      const link = event.target.closest("a[href^='#']");
      if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const number = new URLSearchParams(link.hash.slice(1)).get("page");
      if (link.id === "page-next") around(1);
      else if (link.id === "page-previous") around(-1);
      else if (number !== null || link.id === "back") go({ page: number });
    });
  }
  const restore = () => {
    typing = false;
    state = read();
    apply();
  };
  addEventListener("popstate", restore);
  addEventListener("pageshow", event => { if (event.persisted) restore(); });
  form.hidden = false;
  restore();
  if (state.at && state.page === null) byId(state.at)?.scrollIntoView({ block: "start" });
})();
