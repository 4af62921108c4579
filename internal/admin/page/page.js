"use strict";

const colors = {
  ready: "good", running: "good", completed: "good",
  starting: "busy", waiting: "busy", draining: "busy", stopping: "busy", backoff: "busy",
  unhealthy: "bad", failed: "bad",
};

function cell(text, kind) {
  const td = document.createElement("td");
  td.textContent = text;
  if (kind) td.className = kind;
  return td;
}

function fill(id, rows) {
  const body = document.createElement("tbody");
  for (const cells of rows) {
    const tr = document.createElement("tr");
    tr.append(...cells);
    body.append(tr);
  }
  document.querySelector(`#${id} tbody`).replaceWith(body);
}

const number = (text) => cell(text, "number");
const known = (value, show) => (value === undefined || value === null ? "" : show(value));

function duration(seconds) {
  return seconds < 1 ? `${(seconds * 1000).toFixed(1)} ms` : `${seconds.toFixed(2)} s`;
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${i ? n.toFixed(1) : n} ${units[i]}`;
}

function service(s) {
  return [
    cell(s.name), cell(s.engine), cell(s.state, s.state === "running" && s.ready < s.desired ? "busy" : colors[s.state]), number(`${s.ready}/${s.desired}`),
    number(s.release || ""), cell((s.ports || []).join(", ")), cell(s.cause),
  ];
}

function worker(w) {
  return [
    cell(w.name), cell(w.id), cell(w.status, colors[w.state]), number(w.restarts),
    number(known(w.requests_per_second, (v) => v.toFixed(1))), number(known(w.p99_seconds, duration)), number(w.in_flight),
    number(known(w.cpu_percent, (v) => `${v.toFixed(1)} %`)), number(known(w.memory_bytes, bytes)), cell(w.address), cell(w.cause),
  ];
}

function say(text, bad) {
  const p = document.getElementById("summary");
  p.textContent = text;
  p.className = bad ? "bad" : "";
}

function show(p) {
  document.title = `${p.name} – bulsa`;
  document.getElementById("project").textContent = p.name;
  document.getElementById("version").textContent = `bulsa ${p.version}, pid ${p.pid}`;
  say(`${p.dir}, since ${new Date(p.started_at).toLocaleString()}: ${p.ready ? "ready" : "not ready"}`, !p.ready);
  const services = p.services || [];
  fill("services", services.map(service));
  fill("workers", services.flatMap((s) => s.workers || []).map(worker));
}

async function refresh() {
  try {
    const answer = await fetch("api/v1/project", { cache: "no-store" });
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    show(await answer.json());
  } catch (err) {
    say(`No answer from bulsa: ${err.message}`, true);
  }
  setTimeout(refresh, 1000);
}

refresh();
