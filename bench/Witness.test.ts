import { assert, it } from "@effect/vitest"
import { Witness } from "./Witness.ts"

const fifo = {
  jobs: 4,
  lanes: 1,
  levels: 1,
  blocking: { policy: "fifo", keys: 2 },
} as const

it("finds nothing wrong when every job runs once, in the order of its key", async () => {
  const witness = new Witness(fifo)
  for (const n of [1, 0, 3, 2]) {
    witness.begin({ n, key: n % 2 })
    witness.end({ n, key: n % 2 })
  }
  await witness.done
  assert.deepStrictEqual(witness.verdict, {
    ran: 4,
    missing: 0,
    repeated: 0,
    overlaps: 0,
    disorders: 0,
  })
})

it("sees a job that runs twice, and one that never does", () => {
  const witness = new Witness({ jobs: 2, lanes: 1, levels: 1 })
  for (let time = 0; time < 2; time++) {
    witness.begin({ n: 0, key: 0 })
    witness.end({ n: 0, key: 0 })
  }
  assert.deepInclude(witness.verdict, { ran: 1, missing: 1, repeated: 1 })
})

it("sees two jobs of a key at once, and a later one that goes first", () => {
  const witness = new Witness(fifo)
  witness.begin({ n: 2, key: 0 })
  witness.begin({ n: 0, key: 0 })
  assert.deepInclude(witness.verdict, { overlaps: 1, disorders: 1 })
})

it("allows as many at once as a key has places", () => {
  const witness = new Witness({
    ...fifo,
    blocking: { policy: "concurrent", keys: 1, places: 2 },
  })
  for (const n of [2, 0, 1]) witness.begin({ n, key: 0 })
  assert.deepInclude(witness.verdict, { overlaps: 1, disorders: 0 })
})
