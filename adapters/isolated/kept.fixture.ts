/** A thread that keeps a lease once. For `Kept.test.ts`. */
import { workerData } from "node:worker_threads"
import { Kept } from "./Kept.ts"

const { incarnation, shared } = workerData
const kept = new Kept(shared)
kept.keep(incarnation, kept.now())
