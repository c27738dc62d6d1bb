import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { readArrived, waitRunning } from '../../../src/platform/database/direct/running-time.js';
import t from '../../helpers/run/tap.js';

/** Sends back what it is sent, also while this thread stands still. */
const ECHO = `
  const { createServer } = require('node:net');
  const { parentPort } = require('node:worker_threads');
  const server = createServer((socket) => socket.on('error', () => {}).pipe(socket));
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`;

const cell = new Int32Array(new SharedArrayBuffer(4));
/** Keeps this thread from doing anything, as a long computation or a busy machine does. */
const standStill = () => Atomics.wait(cell, 0, 0, 600);
const { signal } = new AbortController();

t.test('what arrived while the process stood still is read before somebody is said to be silent', async (t) => {
  const worker = new Worker(ECHO, { eval: true });
  t.after(() => worker.terminate());
  const [port] = await once(worker, 'message');
  const socket = connect(Number(port), '127.0.0.1');
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  socket.resume();

  const heard = async (wait: Promise<unknown>) => {
    const before = socket.bytesRead;
    socket.write('?');
    standStill();
    await wait;
    return socket.bytesRead - before;
  };
  t.equal(await heard(delay(100)), 0, 'a timer alone comes before what arrived');
  await once(socket, 'data');
  t.equal(await heard(waitRunning(100, signal)), 1);
});

t.test('a process that stood still has not listened meanwhile', async (t) => {
  // The wait alone keeps no process.
  const kept = setInterval(() => {}, 1_000);
  t.after(() => clearInterval(kept));
  let isOver = false;
  const waiting = waitRunning(500, signal).then(() => {
    isOver = true;
  });
  standStill();
  await readArrived();
  t.equal(isOver, false);
  await waiting;
  t.equal(isOver, true);
});

t.end();
