// The script of the status page: it shows the current groups, the processes of the group that is open, and applications. The server
// sends counters; the script computes rates from two consecutive answers. All text is inserted as text, not as markup.
"use strict";

(() => {
  const REFRESH_MS = 3000;
  const FIRST_MS = 1000; // delay after the first answer: until the second one, rates are averages
  const RARE_MS = 60000; // between questions for applications while nothing runs any
  const PATIENCE_MS = 15000;
  const NONE = "–";
  const { compare } = new Intl.Collator();

  const find = (id) => document.getElementById(id);
  const make = (tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.textContent = text;
    return element;
  };
  const put = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  // The same formats as in html.rs and text.rs.
  const decimal = (value) => (value === null ? NONE : value.toFixed(1));
  const whole = (value) => (value === null ? NONE : String(value));
  const bytes = (value) => {
    if (value === null) return NONE;
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; value >= 1023.95 && unit + 1 < units.length; unit += 1) value /= 1024;
    return `${value.toFixed(unit ? 1 : 0)} ${units[unit]}`;
  };
  const two = (number) => String(number).padStart(2, "0");
  const moment = (seconds) => {
    const date = new Date(seconds * 1000);
    const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  };

  // The rates of counters per second between the last two answers that come from different looks at the node.
  class Rates {
    constructor() {
      this.time = null;
      this.counters = new Map();
      this.known = new Map();
    }

    // `born(row)`: the time from which a row that is missing in the previous answer counts from 0; null if unknown.
    take(time, rows, key, names, born) {
      if (time === this.time) return;
      const [before, then] = [this.counters, this.time];
      this.counters = new Map(rows.map((row) => [key(row), row]));
      this.known = new Map();
      for (const row of rows) {
        const old = before.get(key(row));
        const since = old ? then : born(row);
        const seconds = Math.max(time - since, 0.001);
        const rate = (name) =>
          since === null || row[name] === null ? null : Math.max(row[name] - (old ? old[name] : 0), 0) / seconds;
        this.known.set(key(row), Object.fromEntries(names.map((name) => [name, rate(name)])));
      }
      this.time = time;
    }

    of(row, key, name) {
      const rates = this.known.get(key);
      return rates ? rates[name] : null;
    }
  }

  // A table that a click on a header sorts, and that keeps its row elements from answer to answer.
  // A column has a key, value(row) to sort by, text(value, row), and its look.
  class Grid {
    constructor(table, columns, sorted, fill) {
      this.body = table.tBodies[0];
      this.columns = columns;
      this.sorted = sorted;
      this.falls = true;
      this.fill = fill;
      this.rows = new Map();
      this.data = [];
      this.buttons = new Map();
      for (const column of columns) this.head(table.querySelector(`thead th[data-key="${column.key}"]`), column);
      this.mark(); // the first answer replaces the rows of the HTML
    }

    head(cell, column) {
      const button = make("button", { type: "button" }, cell.textContent);
      button.addEventListener("click", () => {
        this.falls = this.sorted === column.key ? !this.falls : !column.rises;
        this.sorted = column.key;
        this.mark();
        this.show(this.data);
      });
      cell.replaceChildren(button);
      this.buttons.set(column.key, cell);
    }

    mark() {
      for (const [key, cell] of this.buttons) {
        if (key === this.sorted) cell.setAttribute("aria-sort", this.falls ? "descending" : "ascending");
        else cell.removeAttribute("aria-sort");
      }
    }

    order(data) {
      const { value } = this.columns.find((column) => column.key === this.sorted);
      const ordered = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === y) return 0;
        if (x === null || y === null) return x === null ? 1 : -1; // unknown values come last
        const order = typeof x === "string" ? compare(x, y) : x - y;
        return this.falls ? -order : order;
      };
      return [...data].sort(ordered);
    }

    show(data) {
      this.data = data;
      const focused = document.activeElement;
      const wanted = [];
      const kept = new Map();
      for (const entry of this.order(data)) {
        const row = this.rows.get(entry.key) || this.row(entry);
        kept.set(entry.key, row);
        this.columns.forEach((column, n) => this.cell(row.cells[n], column, entry));
        wanted.push(row);
        const below = this.fill && this.fill(row, entry);
        if (below) wanted.push(below);
      }
      this.rows = kept;
      wanted.forEach((row, n) => {
        if (this.body.children[n] !== row) this.body.insertBefore(row, this.body.children[n] || null);
      });
      while (this.body.children.length > wanted.length) this.body.lastElementChild.remove();
      // Moving a row takes the focus away from it.
      if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    }

    row(entry) {
      const row = document.createElement("tr");
      this.columns.forEach((column, n) => {
        const cell = n ? make("td") : make("th", { scope: "row" });
        cell.className = column.look || "";
        row.append(cell);
        if (column.build) column.build(cell, entry);
      });
      return row;
    }

    cell(cell, column, entry) {
      const value = column.value(entry);
      if (column.build) return;
      const text = column.text(value, entry);
      put(cell, text);
      cell.classList.toggle("zero", typeof value !== "string" && (!value || text === "0.0"));
      if (column.share) {
        const share = Math.min(100, column.share(value));
        cell.style.setProperty("--share", share.toFixed(1));
      }
    }
  }

  let overview = null;
  let busiest = 0; // CPU of the busiest group
  let open = null; // name and id of the group whose processes are shown
  let paused = false;
  let timer = null;
  let asking = false;
  let answers = 0;
  let groupRates = new Rates();
  let processRates = new Rates();

  const detail = make("tr", { class: "detail" });
  const inner = make("div", { class: "inner", id: "detail", role: "region", "aria-label": "Processes" });
  detail.append(make("td", { colspan: "14" }));
  detail.firstChild.append(inner);

  const identity = (group) => `${group.name}{${group.labels}}`;
  const toggle = (entry) => {
    open = open && open.id === entry.key ? null : { id: entry.key, name: identity(entry.row) };
    history.replaceState(null, "", open ? `#${encodeURIComponent(open.name)}` : location.pathname + location.search);
    processRates = new Rates();
    processes = null;
    inner.replaceChildren(make("p", {}, "…"));
    groups.show(groups.data);
    if (open) refresh();
  };

  const of = (rates, name) => (entry) => rates().of(entry.row, entry.key, name);
  const group = (name) => of(() => groupRates, name);
  const percent = (rate) => (entry) => {
    const value = rate(entry);
    return value === null ? null : value * 100;
  };
  const field = (name) => (entry) => entry.row[name];

  const groups = new Grid(
    find("groups"),
    [
      {
        key: "name",
        rises: true,
        value: (entry) => identity(entry.row),
        build: (cell, entry) => {
          const button = make("button", { type: "button", "aria-expanded": "false", "aria-controls": "detail" });
          const text = make("span");
          text.append(make("bdi", { class: "name" }, entry.row.name));
          if (entry.row.labels) text.append(" ", make("bdi", { class: "labels" }, entry.row.labels));
          button.append(text);
          button.addEventListener("click", () => toggle(entry));
          cell.append(button);
        },
      },
      {
        key: "cpu",
        look: "meter",
        value: percent(group("cpu_seconds")),
        text: decimal,
        share: (value) => (busiest > 0 ? (100 * value) / Math.max(busiest, 100) : 0),
      },
      { key: "memory", value: field("resident_bytes"), text: bytes },
      { key: "processes", value: field("processes"), text: whole },
      { key: "threads", value: field("threads"), text: whole },
      { key: "read", value: group("read_bytes"), text: bytes },
      { key: "write", value: group("write_bytes"), text: bytes },
      { key: "forks", value: group("forks"), text: decimal },
      { key: "execs", value: group("execs"), text: decimal },
      { key: "sent", value: group("sent_bytes"), text: bytes },
      { key: "received", value: group("received_bytes"), text: bytes },
      { key: "connections", value: field("tcp_connections"), text: whole },
      { key: "served", value: group("requests"), text: decimal },
      { key: "failed", value: group("failed_requests"), text: decimal },
    ],
    "cpu",
    (row, entry) => {
      const isOpen = open !== null && open.id === entry.key;
      row.cells[0].firstChild.setAttribute("aria-expanded", String(isOpen));
      const filter = find("filter").value.toLowerCase();
      row.hidden = !identity(entry.row).toLowerCase().includes(filter);
      row.classList.toggle("empty", entry.row.processes === 0);
      if (isOpen) detail.hidden = row.hidden;
      return isOpen ? detail : null;
    },
  );

  const placed = (entry) => {
    const { by, item, template, overflowed, pid } = entry.row.placed;
    if (by === "parent") return `child of ${pid}`;
    if (by === "ancestor") return "follows an ancestor";
    const source = template === null ? "named on the command line" : `item ${item}: ${template}`;
    return overflowed ? `${source} (other: limit of groups reached)` : source;
  };
  const used = percent(of(() => processRates, "cpu_seconds"));
  const COLUMNS = [
    ["pid", "PID", { rises: true, value: field("pid"), text: whole, look: "number" }],
    ["user", "User", { rises: true, value: field("user"), text: (user) => user ?? NONE, look: "text" }],
    ["comm", "Comm", { rises: true, value: field("comm"), text: (comm) => comm ?? NONE, look: "text" }],
    ["cpu", "CPU %", { value: used, text: decimal }],
    ["memory", "Memory", { value: field("resident_bytes"), text: bytes }],
    ["threads", "Threads", { value: field("threads"), text: whole }],
    ["started", "Started", { value: field("started"), text: (at) => moment(overview.boot_time + at), look: "time" }],
    ["placed", "Placed by", { rises: true, value: placed, text: (text) => text, look: "text long" }],
  ];
  const CMDLINE = ["cmdline", "Command line", { rises: true, value: field("cmdline"), text: (line) => line ?? NONE, look: "text long mono" }];
  let processes = null; // the grid of the open group

  const build = () => {
    const columns = overview.shows_cmdline ? [...COLUMNS, CMDLINE] : COLUMNS;
    const table = make("table");
    const head = make("tr");
    for (const [key, title, { look = "" }] of columns) {
      head.append(make("th", { scope: "col", "data-key": key, class: look.split(" ")[0] }, title));
    }
    table.append(make("thead"), make("tbody"));
    table.tHead.append(head);
    inner.replaceChildren(make("p"), table);
    return new Grid(table, columns.map(([key, , column]) => ({ key, ...column })), "cpu");
  };

  const requests = new Rates();
  const applications = new Grid(
    find("applications").querySelector("table"),
    [
      {
        key: "application",
        rises: true,
        value: field("name"),
        build: (cell, entry) => cell.append(make("bdi", { class: "name" }, entry.row.name)),
      },
      { key: "instance", rises: true, value: field("instance"), text: (text) => text, look: "text" },
      { key: "owner", rises: true, value: field("user"), text: (text) => text, look: "text" },
      { key: "waiting", value: field("waiting"), text: whole },
      { key: "busy", value: field("busy"), text: whole },
      { key: "workers", value: field("processes"), text: whole },
      { key: "requests", value: of(() => requests, "requests"), text: decimal },
    ],
    "waiting",
  );

  const gunicorn = new Grid(
    find("gunicorn").querySelector("table"),
    [
      {
        key: "app",
        rises: true,
        value: field("name"),
        build: (cell, entry) => cell.append(make("bdi", { class: "name" }, entry.row.name)),
      },
      { key: "workers", value: field("workers"), text: whole },
      { key: "busy", value: field("busy"), text: whole },
      { key: "workers_cpu", value: field("cpu_percent"), text: decimal },
      { key: "workers_memory", value: field("resident_bytes"), text: bytes },
      { key: "starts", value: field("starts"), text: whole },
      { key: "ends", value: field("bad_ends"), text: whole },
    ],
    "busy",
  );

  const ask = async (path) => {
    // Not relative to the page's address, which may contain a password: fetch refuses such a URL.
    const url = new URL(path, location.origin + location.pathname);
    const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS), headers: { accept: "application/json" } });
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    throw Object.assign(new Error(answer.error || `status ${response.status}`), { status: response.status });
  };

  const takeGroups = (answer) => {
    if (overview && answer.since !== overview.since) {
      // The agent was restarted: it counts from 0, and its groups have other ids.
      [groupRates, processRates, processes, answers] = [new Rates(), new Rates(), null, 0];
      groups.rows.clear();
      if (open) open.id = null;
    }
    overview = answer;
    if (open && open.id === null) {
      const found = answer.groups.find((one) => identity(one) === open.name);
      open = found ? { id: found.id, name: open.name } : null;
    }
    const names = ["cpu_seconds", "read_bytes", "write_bytes", "forks", "execs", "sent_bytes", "received_bytes", "requests", "failed_requests"];
    const isFirst = groupRates.time === null;
    // For a group that the previous answer left out, the page does not know when it began.
    const born = () => (isFirst ? answer.since : answer.groups_omitted ? null : groupRates.time);
    answers += groupRates.time === answer.time ? 0 : 1;
    groupRates.take(answer.time, answer.groups, (row) => row.id, names, born);
  };

  const showGroups = () => {
    const entries = overview.groups.map((row) => ({ key: row.id, row }));
    find("groups").classList.toggle("plain", overview.groups.every((one) => one.requests === null));
    const sum = (value) => entries.reduce((total, entry) => total + (value(entry) ?? 0), 0);
    const cpu = percent(group("cpu_seconds"));
    busiest = entries.reduce((most, entry) => Math.max(most, cpu(entry) ?? 0), 0);
    put(find("count"), whole(entries.length + overview.groups_omitted));
    put(find("processes"), `${sum(field("processes"))} of ${overview.processes} grouped`);
    put(find("cpu"), `${decimal(sum(cpu))} %`);
    put(find("memory"), bytes(sum(field("resident_bytes"))));
    put(find("health"), overview.health.status);
    find("health").dataset.status = overview.health.status;
    const reasons = overview.health.reasons.map((reason) => make("li", {}, reason));
    const isSame = reasons.map((one) => one.textContent).join("\n") === [...find("reasons").children].map((one) => one.textContent).join("\n");
    if (!isSame) find("reasons").replaceChildren(...reasons);
    const left = overview.groups_omitted;
    put(find("omitted"), left ? `Further groups, which used less CPU time, are left out here: ${left}.` : "");
    groups.show(entries);
    gunicorn.show(overview.gunicorn.map((row) => ({ key: row.name, row })));
    find("gunicorn").hidden = overview.gunicorn.length === 0;
  };

  const showProcesses = (answer) => {
    const key = (row) => `${row.pid} ${row.started}`;
    processRates.take(answer.time, answer.processes, key, ["cpu_seconds"], (row) => row.started);
    processes ??= build();
    const of = answer.processes.length + answer.omitted;
    const text = answer.omitted
      ? `${answer.processes.length} of ${of} processes, those with the most CPU time since their start`
      : of === 1 ? "1 process" : `${of} processes`;
    put(inner.querySelector("p"), text);
    processes.show(answer.processes.map((row) => ({ key: key(row), row })));
  };

  const showApplications = (answer) => {
    const key = (row) => JSON.stringify([row.instance, row.name]);
    // An instance may have counted before the agent saw it.
    requests.take(answer.time, answer.applications, key, ["requests"], () => null);
    applications.show(answer.applications.map((row) => ({ key: key(row), row })));
    const left = answer.omitted;
    const none = answer.applications.length ? "" : "No application has been started, or its instance does not answer.";
    const note = left ? `Further applications, which were less busy, are left out here: ${left}.` : none;
    put(find("applications").querySelector(".note"), note);
    find("applications").hidden = answer.instances === 0;
  };

  let rest = 0; // when applications are asked for again
  let isAskingTargets = false;
  // Beside the groups: an instance that hangs must not hold them up.
  const lookAtApplications = async () => {
    if (isAskingTargets || Date.now() < rest) return;
    isAskingTargets = true;
    try {
      showApplications(await ask("./api/applications"));
    } catch (error) {
      const note = `No answer from the agent (${error.message}); the applications shown may be old.`;
      put(find("applications").querySelector(".note"), note);
    }
    isAskingTargets = false;
    rest = find("applications").hidden ? Date.now() + RARE_MS : 0;
  };

  const tell = (failure) => {
    find("failure").hidden = failure === null;
    put(find("failure"), failure ?? "");
    const what = answers > 1 ? `every ${REFRESH_MS / 1000} s` : "averages since the agent began to count";
    put(find("state"), paused ? "paused" : what);
  };

  const look = async () => {
    takeGroups(await ask("./api/groups"));
    const wanted = open;
    let answer = null;
    if (wanted) {
      try {
        answer = await ask(`./api/processes?group=${wanted.id}`);
      } catch (error) {
        if (error.status !== 404) throw error;
        open = null; // the group does not exist any more
      }
    }
    showGroups();
    if (answer && open && open.id === wanted.id) showProcesses(answer);
  };

  const refresh = async () => {
    clearTimeout(timer);
    if (asking || document.hidden) return;
    asking = true;
    lookAtApplications();
    const before = open;
    try {
      await look();
      tell(null);
    } catch (error) {
      tell(`No answer from the agent (${error.message}); the values shown may be old.`);
    }
    asking = false;
    if (open && open !== before && !processes) return void refresh(); // opened meanwhile
    if (!paused) timer = setTimeout(refresh, answers === 1 ? FIRST_MS : REFRESH_MS);
  };

  find("pause").addEventListener("click", () => {
    paused = !paused;
    find("pause").setAttribute("aria-pressed", String(paused));
    tell(null);
    if (paused) clearTimeout(timer);
    else refresh();
  });
  find("filter").addEventListener("input", () => groups.show(groups.data));
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (!paused) refresh();
  });

  try {
    const name = decodeURIComponent(location.hash.slice(1));
    if (name) open = { id: null, name };
  } catch {
    // The fragment does not come from this page.
  }
  document.title = `Headcount ${location.host}`;
  document.querySelector("h1").append(make("span", {}, location.host));
  find("tools").hidden = false;
  refresh();
})();
