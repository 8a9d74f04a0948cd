// The fault proxy (tests/support/faultproxy) as the rigs use it: started between two parties, ordered about.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BUILD, MARK, end, firstLine, run } from '../sdk/rig.mjs';

const PROGRAM = join(BUILD, 'faultproxy');
if (!existsSync(PROGRAM)) throw new Error(`there is no ${PROGRAM}: run make check`);

/** options: { seed, plan, span, ms, match, hold, port, log }; see main.c. */
export async function faultProxy(to, options = {}) {
  const { log, ...named } = options;
  const args = Object.entries({ to, ...named }).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = run(PROGRAM, [...args, ...(log ? ['--log'] : []), '--mark', MARK]);
  const url = await firstLine(child);
  const waiting = [];
  const did = [];
  let rest = '';
  child.stdout.on('data', (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith('did ')) did.push(exchange(line.slice(4)));
      else waiting.shift()?.(line);
    }
  });
  const proxy = {
    child,
    url,
    did,
    /** One order; resolves with what follows "ok ". */
    async order(line) {
      const answered = new Promise((done) => waiting.push(done));
      child.stdin.write(`${line}\n`);
      const answer = await answered;
      if (!answer.startsWith('ok')) throw new Error(`the proxy says: ${answer}`);
      return answer.slice(3);
    },
    last: async () => exchange(await proxy.order('last')),
    tally: async () => JSON.parse(await proxy.order('tally')),
    stop: () => end(child),
  };
  return proxy;
}

/** "12 cut 17 0 asked=400 passed=17 fired=1" */
function exchange(line) {
  const [nth, fault, a, b, ...counts] = line.split(' ');
  const numbers = Object.fromEntries(counts.map((c) => c.split('=')).map(([k, v]) => [k, Number(v)]));
  return { nth: Number(nth), fault, a: Number(a), b: Number(b), ...numbers };
}

/** How often something was broken, by fault; what only passed is not in it. */
export function faultsOf(tally) {
  const names = ['early', 'cutreq', 'drop', 'late', 'cut', 'rst', 'mute', 'halfopen', 'delay', 'drip', 'dup'];
  return Object.fromEntries(names.map((n) => [n, tally[n]]));
}
