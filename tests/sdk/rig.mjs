// What every rig here is made of: the programs under test, started and surely ended; checks with a time
// limit and a line each; and a look at processes from outside. A rig never leaves a process behind: what
// it starts is named by a mark in its arguments, and a survivor is a failed check.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export { assert, sleep };

const HERE = fileURLToPath(new URL('.', import.meta.url));
const RIG = basename(process.argv[1], '.mjs');
export const NODE = process.execPath;
export const CONFORMANCE = resolve(HERE, '../conformance');
export const BUILD = resolve(process.argv[2] ?? join(HERE, '../../build'));
export const MCPGW = join(BUILD, 'mcpgw');
export const MARK = `rig-${RIG}-${process.pid}`;
export const TMP = mkdtempSync(join(tmpdir(), `mcpgw-${RIG}-`));
const ONLY = process.argv[3];
process.env.XDG_STATE_HOME = join(TMP, 'state'); // what gateways keep goes with the rig
const LOGS = join(HERE, 'out');
mkdirSync(LOGS, { recursive: true });

if (!existsSync(MCPGW)) {
  console.log(`not ok - ${RIG}: there is no ${MCPGW}: run make first`);
  process.exit(2);
}

// ---------------------------------------------------------------------------------------------
// Processes

const alive = new Set();
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
  for (const pid of marked()) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // it went by itself
    }
  }
  rmSync(TMP, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130));

/** The processes, but zombies, whose arguments contain the mark (this rig's own, or one of `text`). */
export function marked(text = MARK) {
  const found = [];
  for (const pid of readdirSync('/proc').filter((d) => /^\d+$/.test(d) && Number(d) !== process.pid)) {
    try {
      const [args, stat] = ['cmdline', 'stat'].map((f) => readFileSync(`/proc/${pid}/${f}`, 'latin1'));
      if (args.includes(text) && !/\) Z /.test(stat)) found.push(Number(pid));
    } catch {
      // gone between the two
    }
  }
  return found;
}

/** What /proc says of a process's memory, in bytes: { VmRSS, VmHWM }. */
export function memory(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]) * 1024;
  return { VmRSS: field('VmRSS'), VmHWM: field('VmHWM') };
}

/** Starts the peak (VmHWM) anew. */
export const forgetPeak = (pid) => writeFileSync(`/proc/${pid}/clear_refs`, '5');

export function run(command, args, { cwd, env } = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], cwd, env: { ...process.env, ...env } });
  alive.add(child);
  child.errors = '';
  child.ended = new Promise((done) =>
    child.once('exit', (code, signal) => {
      alive.delete(child);
      done({ code, signal });
    }),
  );
  child.once('error', (e) => (child.errors += e.message));
  child.stdin.on('error', () => {});
  child.stderr.on('data', (d) => (child.errors = (child.errors + d).slice(-200_000)));
  return child;
}

/** The first line a program prints, within ten seconds. */
export function firstLine(child) {
  return new Promise((done, fail) => {
    let text = '';
    const why = (what) => fail(new Error(`${child.spawnargs[0]} ${what}: ${child.errors.slice(-600)}`));
    const timer = setTimeout(() => why('printed nothing'), 10_000);
    child.once('exit', (code) => why(`ended with ${code}`));
    child.stdout.on('data', function take(d) {
      text += d;
      if (!text.includes('\n')) return;
      clearTimeout(timer);
      child.stdout.off('data', take);
      done(text.slice(0, text.indexOf('\n')));
    });
  });
}

/** Ends it by TERM; resolves with { code, signal }, late: true if it had to be killed. */
export async function end(child, signal = 'SIGTERM', patience = 6000) {
  child.kill(signal);
  const ended = await Promise.race([child.ended, sleep(patience)]);
  if (ended) return ended;
  child.kill('SIGKILL');
  return { ...(await child.ended), late: true };
}

let counter = 0;
export function tempFile(name, content) {
  const path = join(TMP, `${++counter}-${name}`);
  writeFileSync(path, content);
  return path;
}

// ---------------------------------------------------------------------------------------------
// The programs

const gateways = [];

/** mcpgw serve. `what` is an array of arguments (a URL, or -- COMMAND…) or a configuration object. */
export async function serve(what, { env } = {}) {
  const args = Array.isArray(what) ? what : [tempFile('mcpgw.json', JSON.stringify(what))];
  const child = run(MCPGW, ['serve', '--listen', '127.0.0.1:0', ...args], { env });
  gateways.push(child);
  const url = await firstLine(child);
  return { child, pid: child.pid, url, base: new URL(url).origin, stop: (...how) => end(child, ...how) };
}

/** Runs `use` with a gateway, and ends that whatever happens. */
export async function withGateway(what, use, options) {
  const gateway = await serve(what, options);
  try {
    return await use(gateway);
  } finally {
    await gateway.stop();
  }
}

export const FIXTURE = join(CONFORMANCE, 'fixture.mjs');
export const stdioFixture = (era) => ({ command: NODE, args: [FIXTURE, '--era', era, '--stdio', '--name', MARK] });
export async function httpFixture(era) {
  const child = run(NODE, [FIXTURE, '--era', era, '--http', '0', '--name', MARK]);
  return { child, url: await firstLine(child), stop: () => end(child) };
}

export const PEER = join(HERE, 'peer.mjs');
/** The raw peer: see peer.mjs for its options. Everything it notes down goes to a file, read by notes(). */
export function stdioPeer(era, ...options) {
  const file = tempFile('peer.log', '');
  const args = [PEER, '--era', era, '--stdio', '--log', file, '--mark', MARK, ...options];
  return { command: NODE, args, notes: () => notes(file) };
}
export async function httpPeer(era, ...options) {
  const file = tempFile('peer.log', '');
  const child = run(NODE, [PEER, '--era', era, '--http', '0', '--log', file, '--mark', MARK, ...options]);
  return { child, url: await firstLine(child), notes: () => notes(file), stop: () => end(child) };
}
const notes = (file) => readFileSync(file, 'utf8').split('\n').filter(Boolean).map((l) => JSON.parse(l));

/** The example server, compiled if make has not done it. */
export function notesServer() {
  const built = join(BUILD, 'examples/notes');
  if (existsSync(built)) return built;
  const source = resolve(HERE, '../../examples/servers/notes.c');
  const program = join(TMP, 'notes');
  if (!existsSync(program)) execFileSync('cc', ['-D_GNU_SOURCE', '-O1', '-o', program, source, '-ljansson']);
  return program;
}

/** Waits until `test` holds: its last value. */
export async function until(what, test, ms = 3000) {
  for (const end = Date.now() + ms; ; await sleep(20)) {
    const value = await test();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what} did not come within ${ms} ms`);
  }
}

// ---------------------------------------------------------------------------------------------
// Checks

let passed = 0;
let failed = 0;
const short = (text) => String(text).replace(/\s+/g, ' ').slice(0, 900);

export function ok(name) {
  passed++;
  console.log(`ok - ${RIG}: ${name}`);
}

export function notOk(name, why) {
  failed++;
  console.log(`not ok - ${RIG}: ${name}: ${short(why)}`);
}

export async function check(name, body, ms = 20_000) {
  if (ONLY && !name.includes(ONLY)) return;
  let timer;
  const limit = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`no end after ${ms} ms`)), ms);
  });
  try {
    await Promise.race([body(), limit]);
    ok(name);
  } catch (error) {
    notOk(name, error?.message ?? error);
  } finally {
    clearTimeout(timer);
  }
}

/** The rig as a whole: no gateway may have crashed, no process may be left. */
export async function finish() {
  for (const child of [...alive]) await end(child, 'SIGTERM', 3000);
  for (const child of gateways) {
    const crash = child.signalCode && !['SIGKILL', 'SIGTERM'].includes(child.signalCode);
    if (crash || /Sanitizer|runtime error/.test(child.errors)) {
      notOk(`gateway ${child.pid} is sound`, `${child.signalCode ?? ''} ${child.errors.slice(-3000)}`);
    }
  }
  writeFileSync(join(LOGS, `${RIG}.log`), gateways.map((c) => `== ${c.pid}\n${c.errors}`).join('\n'));
  if (!ONLY) await check('nobody is left behind', () => until('the end of all', () => marked().length === 0, 5000));
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

const LIMIT = Number(process.env.RIG_LIMIT_S ?? 150);
setTimeout(() => {
  notOk('the rig', `not done after ${LIMIT} s`);
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(1);
}, LIMIT * 1000).unref();
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (e) => {
    notOk(`no ${event}`, e?.stack ?? e);
  });
}
