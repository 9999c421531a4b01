"use strict";
// Everything from records reaches the page as text (append, textContent), never as HTML.
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("data").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = JSON.parse(await new Response(stream).text());
  const byId = (id) => document.getElementById(id);
  const percent = (share) => (share == null ? "–" : (100 * share).toFixed(1));
  const named = (row) =>
    [row.values.backbone, row.values.pooling, row.values.head, row.values.control && "random weights", row.values.preset]
      .filter(Boolean).join(", ");

  function el(tag, properties, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties ?? {})) {
      if (name in node) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.flat(Infinity).filter((child) => child != null && child !== ""));
    return node;
  }
  const list = (pairs) =>
    el("dl", {}, pairs.filter(([, value]) => value != null && value !== "").map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
  function grid(titles, rows, label) {
    const head = el("tr", {}, titles.map((title) => el("th", { scope: "col" }, title)));
    const body = rows.map((cells) => el("tr", {}, cells.map((cell, at) => {
      const node = cell instanceof Node ? cell : el("td", {}, cell == null ? "–" : String(cell));
      return at === 0 && node.tagName === "TD" ? el("th", { scope: "row" }, ...node.childNodes) : node;
    })));
    const table = el("table", {}, el("thead", {}, head), el("tbody", {}, body));
    return el("div", { className: "wide", role: "region", "aria-label": label, tabIndex: 0 }, table);
  }

  // The table ------------------------------------------------------------------------------------
  const head = [...document.querySelectorAll("#table thead th")];
  const titles = head.map((cell) => cell.textContent);
  const rest = ["accuracy %", "UAR %", "validation macro-F1 %", "trials", "params M", "weights", "hardware"];
  document.querySelectorAll("#table tbody tr").forEach((line, at) => {
    const name = named(data.rows[at]);
    line.prepend(el("td", {}, el("input", { type: "checkbox", "aria-label": `compare ${name}`, value: at })));
    line.append(el("td", {}, el("button", { type: "button", value: at, "aria-label": `details of ${name}` }, "details")));
  });
  head.forEach((cell) => cell.replaceChildren(el("button", { type: "button" }, cell.textContent)));
  head[0].before(el("th", { scope: "col" }, "pick"));
  head.at(-1).after(el("th", { scope: "col" }, "more"));
  const first = 1; // the column of picks stands before the others
  const table = new DataTable("#table", {
    order: [],
    pageLength: 25,
    lengthMenu: [25, 100, { label: "all", value: -1 }],
    ordering: { handler: false, indicators: false },
    autoWidth: false,
    columnDefs: [{ targets: [0, titles.length + 1], orderable: false, searchable: false }],
    layout: { topStart: null, topEnd: null, bottomStart: ["info", "pageLength"], bottomEnd: "paging" },
    language: { info: "_START_ to _END_ of _TOTAL_ rows", infoFiltered: "", infoEmpty: "no rows", lengthMenu: "rows at once _MENU_", zeroRecords: "No row is like that." },
  });
  document.documentElement.classList.remove("paging");
  head.forEach((cell, at) => cell.querySelector("button").addEventListener("click", () => {
    const ascending = cell.getAttribute("aria-sort") === "descending" || (cell.getAttribute("aria-sort") == null && cell.dataset.first === "asc");
    table.order([at + first, ascending ? "asc" : "desc"]).draw();
  }));

  const form = byId("filters");
  const selects = [...form.querySelectorAll("select")];
  for (const select of selects) {
    const values = new Set(data.rows.map((row) => row.values[select.name]).filter((value) => value != null));
    select.append(...[...values].map((value) => el("option", { value }, value)));
  }
  if (data.rows.length) for (const name of ["task", "protocol"]) form.elements[name].value = data.rows[0].values[name];
  table.search.fixed("filters", (text, cells, at) =>
    selects.every((select) => !select.value || data.rows[at].values[select.name] === select.value));
  const onScreen = () => table.rows({ search: "applied", order: "applied" }).indexes().toArray().map((at) => data.rows[at]);

  const shown = new Set(titles.filter((title) => !rest.includes(title)));
  titles.forEach((title) => {
    const box = el("input", { type: "checkbox", checked: shown.has(title) });
    box.addEventListener("change", () => { box.checked ? shown.add(title) : shown.delete(title); columns(); });
    byId("columns").append(el("label", {}, box, title));
  });
  function columns() {
    titles.forEach((title, at) => {
      const one = ["task", "protocol"].includes(title) && form.elements[title].value;
      table.column(at + first).visible(shown.has(title) && !one, false);
    });
  }
  function refresh() {
    columns();
    table.search(form.elements.search.value).draw();
    const rows = onScreen();
    for (const box of picked.filter((box) => !rows.includes(data.rows[box.value]))) unpick(box);
    byId("count").textContent = `${rows.length} of ${data.rows.length} rows`;
    draw(rows);
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => { if (event.target.name) refresh(); });

  function save(name, type, text) {
    const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  byId("csv").addEventListener("click", () => save("rows.csv", "text/csv", data.titles + onScreen().map((row) => row.line).join("")));
  byId("json").addEventListener("click", () => save("rows.json", "application/json", JSON.stringify(onScreen().map((row) => row.values), null, 1)));

  // Details and comparison -----------------------------------------------------------------------
  const dialog = byId("dialog");
  function open(title, ...content) {
    byId("shown").replaceChildren(el("h2", { id: "dialog-title" }, title), el("div", {}, content));
    dialog.showModal();
    dialog.scrollTop = 0;
  }
  byId("table").addEventListener("click", (event) => {
    const button = event.target.closest("td button");
    if (button) details(data.rows[button.value]);
  });
  const picked = [];
  function unpick(box) {
    box.checked = false;
    picked.splice(picked.indexOf(box), 1);
    byId("compare").disabled = picked.length !== 2;
  }
  byId("table").addEventListener("change", (event) => {
    const box = event.target;
    if (!box.checked) return unpick(box);
    picked.push(box);
    if (picked.length > 2) unpick(picked[0]);
    byId("compare").disabled = picked.length !== 2;
  });
  byId("compare").addEventListener("click", () => compare(...picked.map((box) => data.rows[box.value])));

  const facts = (row) => [
    ["task", row.values.task], ["protocol", row.values.protocol], ["rank", row.shown.rank], ["macro-F1 %", row.shown.macro_f1], ["accuracy %", row.shown.accuracy], ["UAR %", row.shown.uar],
    ["validation macro-F1 %", percent(row.values.validation_macro_f1)], ["layer", row.values.layer], ["weights", row.values.weights],
    ["trials per fold", row.values.trials_per_fold], ["encoder RTFx", row.values.encoder_rtfx], ["end-to-end RTFx", row.values.end_to_end_rtfx],
    ["hardware", row.values.hardware], ["remarks", row.shown.remarks],
  ];
  function details(row) {
    const curve = el("div", { className: "chart" }), reliability = el("div", { className: "chart" });
    const say = ([id, detail]) => el("li", {}, el("code", {}, id), ` ${detail ? `${detail}: ` : ""}${data.advisories[id][0]}; ${data.advisories[id][1]}.`);
    open(`${named(row)} on ${row.table}`,
      list(facts(row)),
      row.advisories.length ? [el("h3", {}, "Advisories"), el("ul", {}, row.advisories.map(say))] : [],
      el("h3", {}, "Run it again"), el("pre", { tabIndex: 0 }, row.command),
      row.use ? [el("h3", {}, "Put it to use"), el("pre", { tabIndex: 0 }, `${row.use}\nvoxgrid predict model FILE`)] : [],
      el("h3", {}, "F1 by class, and confusions"), el("p", {}, "Rows are the truth, columns the prediction."),
      grid(["true class", "F1 %", ...row.labels], row.labels.map((label, at) => [label, percent(row.f1[label]),
        ...row.confusion[at].map((count, other) => el("td", { className: other === at ? "number hit" : "number" }, String(count)))]), "Confusions"),
      el("h3", {}, "Folds"),
      grid(["fold", "tested groups", "validation macro-F1 %", "test macro-F1 %", "trials", "chosen"],
        row.folds.map((fold, at) => [at + 1, fold.groups.join(" "), percent(fold.validation), percent(fold.test), fold.trials,
          Object.entries(fold.params).map(([name, value]) => `${name} ${value}`).join(", ")]), "Folds"),
      row.folds.some((fold) => fold.curve.length > 1) ? [el("h3", {}, `Validation macro-F1${row.folds[0].by === "setting tried" ? ", the best so far" : ""}, by ${row.folds[0].by} and fold`), curve] : [],
      row.calibration ? [el("h3", {}, "Calibration"), el("p", {}, `A temperature of ${row.calibration.temperature} (the median over folds) was fitted on inner predictions.`),
        grid(["probabilities", "expected calibration error, points", "Brier score"], Object.entries(row.calibration.told).map(([name, own]) => [name, percent(own.error), own.brier.toFixed(3)]), "Calibration"), reliability] : [],
      row.wrong.length ? [el("h3", {}, "Wrong with the most confidence"), wrong(row)] : [],
      [...row.notes, ...row.folds.flatMap((fold) => fold.notes)].length
        ? [el("h3", {}, "Notes"), el("ul", {}, [...new Set([...row.notes, ...row.folds.flatMap((fold) => fold.notes)])].map((note) => el("li", {}, note)))] : [],
      el("h3", {}, "Where it comes from"), list(Object.entries(row.made)));
    if (row.calibration) reliable(reliability, row.calibration);
    const points = row.folds.flatMap((fold, at) => fold.curve.map((f1, step) => ({ step: step + (fold.by === "layer" ? 0 : 1), f1: 100 * f1, fold: String(at + 1) })));
    if (row.folds.some((fold) => fold.curve.length > 1))
      embed(curve, { description: "Validation macro-F1 by step, a line for each fold", width: "container", height: 200, data: { values: points }, mark: { type: "line", tooltip: true },
        encoding: { x: { field: "step", type: "quantitative", title: row.folds[0].by, axis: { tickMinStep: 1 } }, y: { field: "f1", type: "quantitative", title: "macro-F1 %", scale: { zero: false } }, color: { field: "fold", type: "nominal" } } });
  }
  function reliable(node, own) {
    const values = Object.entries(own.told).flatMap(([name, each]) => each.bins.map(([clips, confidence, accuracy]) => ({ name, clips, confidence: 100 * confidence, accuracy: 100 * accuracy })));
    const x = { field: "confidence", type: "quantitative", title: "mean of the highest probability, %", scale: { domain: [0, 100] } }, y = { field: "accuracy", type: "quantitative", title: "right, %", scale: { domain: [0, 100] } };
    embed(node, { description: "Share of clips that are right by how sure the row is; on the diagonal it can be taken at its word", width: "container", height: 220, layer: [
      { data: { values: [{ confidence: 0, accuracy: 0 }, { confidence: 100, accuracy: 100 }] }, mark: { type: "line", strokeDash: [4, 4], color: ink }, encoding: { x, y } },
      { data: { values }, mark: { type: "line", point: true }, encoding: { x, y, color: { field: "name", type: "nominal", title: "probabilities" }, tooltip: [{ field: "clips" }, { field: "confidence" }, { field: "accuracy" }] } },
    ] });
  }
  const wrong = (row) => grid(["clip", "truth", "prediction", "its probability"],
    row.wrong.map(([clip, truth, said, sure]) => [clip, row.labels[truth], row.labels[said], sure.toFixed(3)]), "Clips predicted wrongly");

  const codes = (text) => Uint16Array.from(text, (c) => c.charCodeAt(0) - data.first);
  // macro-F1 of a row on every draw of groups, and without a draw; means over its seeds.
  function drawn(row) {
    const clips = data.clips[row.clips], groups = clips.groupNames.length, classes = row.labels.length;
    const draws = data.draws[groups], counts = Uint8Array.from(atob(draws.counts), (c) => c.charCodeAt(0));
    const truth = codes(clips.truth), scores = new Float64Array(draws.number + 1);
    for (const text of row.said) {
      const said = codes(text), right = new Float64Array(groups * classes), real = right.slice(), told = right.slice();
      said.forEach((own, at) => {
        const base = clips.groups[at] * classes;
        real[base + truth[at]] += 1;
        told[base + own] += 1;
        if (own === truth[at]) right[base + own] += 1;
      });
      for (let draw = 0; draw <= draws.number; draw += 1) {
        let sum = 0, present = 0;
        for (let c = 0; c < classes; c += 1) {
          let r = 0, t = 0, s = 0;
          for (let g = 0; g < groups; g += 1) {
            const times = draw === draws.number ? 1 : counts[draw * groups + g], at = g * classes + c;
            r += times * right[at]; t += times * real[at]; s += times * told[at];
          }
          if (t > 0) { present += 1; sum += (2 * r) / (t + s); }
        }
        scores[draw] += sum / present / row.said.length;
      }
    }
    return scores;
  }
  function quantile(sorted, share) {
    const place = share * (sorted.length - 1), below = Math.floor(place), above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
  }
  function difference(one, other) {
    const a = drawn(one), b = drawn(other), by = a.map((score, at) => score - b[at]);
    const sorted = by.slice(0, -1).sort(), [low, high] = data.draws[data.clips[one.clips].groupNames.length].tails;
    return [by.at(-1), quantile(sorted, low), quantile(sorted, high)];
  }
  function compare(one, other) {
    const parts = [grid(["", named(one), named(other)], facts(one).map(([name, value], at) => [name, value, facts(other)[at][1]]), "Two rows")];
    const both = one.clips != null && one.clips === other.clips, clips = both && data.clips[one.clips];
    if (!both) parts.push(el("p", {}, "They were not tested on the same clips, so that nothing can be paired."));
    else {
      if (one.values.macro_f1_low != null && other.values.macro_f1_low != null) {
        const found = difference(one, other), lower = found[0] < 0;
        const [by, low, high] = (lower ? [-found[0], -found[2], -found[1]] : found).map((share) => (100 * share).toFixed(1));
        const told = found[1] > 0 || found[2] < 0 ? "The interval leaves zero out." : "The interval holds zero: they cannot be told apart.";
        parts.push(el("p", { id: "difference" }, `${named(lower ? other : one)} is better by ${by} points of macro-F1 (95 % interval ${low} to ${high}, paired over groups). ${told} This interval is for two rows chosen beforehand. Ranks allow for all pairs of rows, and so tell fewer apart.`));
      } else parts.push(el("p", {}, "There is no interval: groups are on both sides, splits are repeated, or groups are few."));
      const truth = codes(clips.truth), a = codes(one.said[0]), b = codes(other.said[0]);
      const at = [...truth.keys()], right = (said, i) => said[i] === truth[i];
      const tally = (first, second) => at.filter((i) => right(a, i) === first && right(b, i) === second).length;
      parts.push(grid(["clips", "second right", "second wrong"], [["first right", tally(true, true), tally(true, false)], ["first wrong", tally(false, true), tally(false, false)]], "Clips right and wrong"));
      const differ = at.filter((i) => a[i] !== b[i]), most = 200;
      parts.push(el("h3", {}, `Clips on which they differ: ${differ.length}${differ.length > most ? `, the first ${most}` : ""}`),
        grid(["clip", "group", "truth", "first", "second"], differ.slice(0, most).map((i) => [clips.names[i], clips.groupNames[clips.groups[i]], one.labels[truth[i]],
          el("td", right(a, i) ? { className: "hit" } : {}, one.labels[a[i]]), el("td", right(b, i) ? { className: "hit" } : {}, one.labels[b[i]])]), "Clips on which they differ"));
    }
    open("Two rows side by side", parts);
  }

  // Figures --------------------------------------------------------------------------------------
  const ink = "currentColor", narrow = innerWidth < 600;
  const config = { background: "transparent", view: { stroke: null }, axis: { labelColor: ink, titleColor: ink, tickColor: ink, domainColor: ink, gridColor: ink, gridOpacity: 0.15, labelLimit: narrow ? 150 : 400 }, legend: { labelColor: ink, titleColor: ink, orient: "top", columns: narrow ? 2 : 4 }, title: { color: ink }, text: { color: ink } };
  const embed = (node, spec) => vegaEmbed(node, { $schema: "https://vega.github.io/schema/vega-lite/v6.json", config, ...spec }, { renderer: "svg", actions: false, tooltip: { theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light" } });
  const most = 40;
  // those with pretrained rows come first, so that they have the clearest colours
  const backbones = [...new Set([...data.rows].sort((a, b) => a.control - b.control).map((row) => row.values.backbone))];
  // A backbone has one colour and one shape in every figure, and the legend names those shown.
  const sign = (shown) => ({ field: "backbone", type: "nominal", scale: { domain: backbones }, legend: { values: backbones.filter((name) => shown.some((each) => each.backbone === name)) } });
  const tooltip = [{ field: "row" }, { field: "shown", title: "macro-F1 %" }, { field: "rtfx", title: "end-to-end RTFx" }];
  function point(row) {
    return { row: named(row), backbone: row.values.backbone, f1: 100 * row.values.macro_f1, low: 100 * row.values.macro_f1_low, high: 100 * row.values.macro_f1_high,
      known: row.values.macro_f1_low != null, shown: row.shown.macro_f1, rtfx: row.values.end_to_end_rtfx, parameters: row.values.parameters, hardware: row.values.hardware, control: row.control, tied: row.values.rank_first === 1 };
  }
  function draw(rows) {
    const tables = [...new Set(rows.map((row) => row.table))];
    byId("why-none").textContent = tables.length === 1 ? "" : tables.length ? "Figures are of one task and protocol: choose them above." : "No row is shown.";
    // presets are not tuned, and stand in no comparison
    const tuned = rows.filter((row) => !row.values.preset).map(point).sort((a, b) => b.f1 - a.f1);
    document.querySelector(".figures").hidden = tables.length !== 1 || !tuned.length;
    if (tables.length !== 1 || !tuned.length) return;
    byId("cut").textContent = tuned.length > most ? ` The best ${most} of ${tuned.length} rows.` : "";
    forest(tuned.slice(0, most), data.tables[tables[0]].chance);
    // a control is the same network, and nobody uses it for what it costs
    speed(tuned.filter((p) => !p.control));
    const layers = data.tables[tables[0]].layers.filter(({ backbone }) => tuned.some((each) => each.backbone === backbone)).flatMap(({ backbone, macro_f1 }) => macro_f1.map((f1, layer) => ({ backbone, layer, f1: 100 * f1 })));
    byId("layers").closest("figure").hidden = !layers.length;
    if (layers.length) embed(byId("layers"), { description: "Validation macro-F1 by layer, a line for each backbone", width: "container", height: 300, data: { values: layers }, mark: { type: "line", point: true, tooltip: true },
      encoding: { x: { field: "layer", type: "quantitative", axis: { tickMinStep: 1 } }, y: { field: "f1", type: "quantitative", title: "macro-F1 % on inner folds", scale: { zero: false } }, color: sign(layers) } });
  }
  function forest(values, chance) {
    const y = { field: "row", type: "nominal", sort: null, scale: { domain: [...new Set(values.map((value) => value.row))] }, title: null };
    const x = { field: "f1", type: "quantitative", title: "macro-F1 %" };
    const some = (what, layer) => (values.some((value) => value[what]) ? [{ transform: [{ filter: `datum.${what}` }], ...layer }] : []);
    embed(byId("forest"), { description: "macro-F1 of each row with its interval", width: "container", autosize: { type: "fit-x", contains: "padding" }, height: { step: 18 }, data: { values }, encoding: { y }, layer: [
      ...some("tied", { mark: { type: "rect", color: ink, opacity: 0.07 }, encoding: { x: { value: 0 }, x2: { value: "width" } } }),
      ...some("known", { mark: { type: "rule", strokeWidth: 2 }, encoding: { x: { ...x, field: "low" }, x2: { field: "high" }, stroke: { ...sign(values), legend: null } } }),
      ...points(values, { x, tooltip }),
      ...(chance == null ? [] : [{ data: { values: [{ x: 100 * chance }] }, mark: { type: "rule", strokeDash: [4, 4], color: ink }, encoding: { y: null, x: { field: "x", type: "quantitative" } } }]),
    ] });
  }
  // Hollow where weights are random; a layer without a mark would be an image without a name.
  const points = (values, encoding) => [...new Set(values.map((value) => value.control))].map((control) => ({
    transform: [{ filter: `datum.control === ${control}` }], mark: { type: "point", size: 60, filled: !control, opacity: 1 }, encoding: { color: sign(values), shape: sign(values), ...encoding },
  }));
  let compared = [];
  function speed(rows) {
    compared = rows;
    const cost = byId("cost").value, fast = cost === "rtfx";
    const machines = Map.groupBy(rows.filter((p) => p[cost] > 0), (p) => (fast ? p.hardware : ""));
    const [machine, own] = [...machines].sort((a, b) => b[1].length - a[1].length)[0] ?? ["", []];
    // text of records never goes into a specification: its titles become expressions
    byId("machine").textContent = machine && `(${machine})`;
    byId("speed").hidden = !own.length;
    if (!own.length) return;
    const front = [];
    const cheapest = (a, b) => (fast ? b.rtfx - a.rtfx : a.parameters - b.parameters) || b.f1 - a.f1;
    for (const p of [...own].sort(cheapest)) if (!p.control && (!front.length || p.f1 > front.at(-1).f1)) front.push(p);
    const x = { field: cost, type: "quantitative", scale: { type: "log" }, title: fast ? "end-to-end RTFx" : "parameters", axis: { format: "~s", labelOverlap: true } };
    const y = { field: "f1", type: "quantitative", title: "macro-F1 %", scale: { zero: false } };
    embed(byId("speed"), { description: `macro-F1 against ${fast ? "speed" : "parameters"}`, width: "container", height: 300, layer: [
      { data: { values: front }, mark: { type: "line", interpolate: fast ? "step-before" : "step-after", color: ink, opacity: 0.5 }, encoding: { x, y, order: { field: cost } } },
      { data: { values: own }, layer: points(own, { x, y, tooltip }) },
    ] });
  }
  byId("cost").addEventListener("change", () => speed(compared));
  ["forest", "speed", "layers"].forEach((id) => byId(id).classList.add("chart"));
  byId("unscripted").remove();
  document.querySelectorAll(".scripted").forEach((node) => { node.hidden = false; });
  refresh();
  document.documentElement.dataset.ready = performance.now();
})();
