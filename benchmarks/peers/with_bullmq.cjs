// BullMQ on Redis: node with_bullmq.cjs work|submit. in_flight.py says what these do.

const fs = require("node:fs");
const readline = require("node:readline");
const { Queue, Worker } = require("bullmq");

const JOB = { drink: "mojito", name: "Ada Lovelace", logo: "lion" };
const AT_A_TIME = 32;
const CONCURRENCY = 10; // of 1, 10, 20 and 50 what costs least, since a finished job then brings the next
const FINISHED = 1000; // how many finished jobs are kept, as in its documentation

const connection = { host: "127.0.0.1", port: Number(process.env.BENCHMARK_PORT), maxRetriesPerRequest: null };
const path = process.env.BENCHMARK_WORKED;

function workAll() {
  const pipe = fs.openSync(path, "w");
  const work = async () => {
    fs.writeSync(pipe, ".");
  };
  new Worker("jobs", work, { connection, concurrency: CONCURRENCY, removeOnComplete: { count: FINISHED } });
}

async function submit() {
  const queue = new Queue("jobs", { connection });
  const pipe = fs.createReadStream(path, { flags: "r+" });
  let worked = () => {};
  pipe.on("data", (bytes) => worked(bytes.length));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [count, took] = await round(queue, Number(line), (read) => {
      worked = read;
    });
    process.stdout.write(`${count} ${took}\n`);
  }
  process.exit();
}

function round(queue, seconds, onWorked) {
  return new Promise((over, failed) => {
    const began = performance.now();
    let submitted = 0;
    let worked = 0;
    const follow = (count) => {
      submitted += count;
      for (let i = 0; i < count; i++) queue.add("work", JOB).catch(failed);
    };
    onWorked((count) => {
      worked += count;
      const took = (performance.now() - began) / 1000;
      if (took < seconds) follow(count);
      else if (worked === submitted) over([worked, took]);
    });
    follow(AT_A_TIME);
  });
}

({ work: workAll, submit })[process.argv[2]]();
