/**
 * The migrations in order. They go forward only: a new one is added at the end, and one that ran
 * anywhere is never changed. It is known by its name, and by the digest of its statements.
 */
import { createHash } from "node:crypto"
import scheduler from "./scheduler.ts"
import states from "./states.ts"
import executorResources from "./executorResources.ts"
import calendars from "./calendars.ts"
import history from "./history.ts"
import leaseByHolder from "./leaseByHolder.ts"
import clockStep from "./clockStep.ts"
import submit from "./submit.ts"
import permits from "./permits.ts"
import statesOfTasks from "./statesOfTasks.ts"
import triggers from "./triggers.ts"
import placements from "./placements.ts"
import notified from "./notified.ts"
import outbox from "./outbox.ts"
import logs from "./logs.ts"
import crashes from "./crashes.ts"
import conclusions from "./conclusions.ts"
import vitals from "./vitals.ts"
import deadlines from "./deadlines.ts"
import levels from "./levels.ts"
import onward from "./onward.ts"
import tails from "./tails.ts"
import admission from "./admission.ts"
import shares from "./shares.ts"
import ranks from "./ranks.ts"
import levelsSet from "./levelsSet.ts"
import histories from "./histories.ts"
import holders from "./holders.ts"
import orders from "./orders.ts"
import revived from "./revived.ts"
import laneOrders from "./laneOrders.ts"
import heads from "./heads.ts"
import fireAhead from "./fireAhead.ts"
import fireNext from "./fireNext.ts"
import overtaken from "./overtaken.ts"
import groups from "./groups.ts"
import changes from "./changes.ts"
import gateRanks from "./gateRanks.ts"
import rollbacks from "./rollbacks.ts"
import gateOrders from "./gateOrders.ts"
import idleLanes from "./idleLanes.ts"
import changesOfHeld from "./changesOfHeld.ts"
import everyPolicy from "./everyPolicy.ts"
import endings from "./endings.ts"
import gatesTogether from "./gatesTogether.ts"
import answers from "./answers.ts"
import beginners from "./beginners.ts"
import depth from "./depth.ts"
import rounds from "./rounds.ts"
import heldUp from "./heldUp.ts"
import inTime from "./inTime.ts"

export interface Migration {
  readonly name: string
  readonly statements: ReadonlyArray<string>
}

export const migrations: ReadonlyArray<Migration> = [
  { name: "scheduler", statements: scheduler },
  { name: "states", statements: states },
  { name: "executor resources", statements: executorResources },
  { name: "calendars", statements: calendars },
  { name: "history", statements: history },
  { name: "clock step", statements: clockStep },
  { name: "submit", statements: submit },
  { name: "lease by holder", statements: leaseByHolder },
  { name: "permits", statements: permits },
  { name: "states of tasks", statements: statesOfTasks },
  { name: "triggers", statements: triggers },
  { name: "placements", statements: placements },
  { name: "outbox", statements: outbox },
  { name: "logs", statements: logs },
  { name: "conclusions", statements: conclusions },
  { name: "vitals", statements: vitals },
  { name: "deadlines", statements: deadlines },
  { name: "levels", statements: levels },
  { name: "onward", statements: onward },
  { name: "tails", statements: tails },
  { name: "admission", statements: admission },
  { name: "shares", statements: shares },
  { name: "ranks", statements: ranks },
  { name: "crashes", statements: crashes },
  { name: "levels set", statements: levelsSet },
  { name: "histories", statements: histories },
  { name: "holders", statements: holders },
  { name: "orders", statements: orders },
  { name: "revived", statements: revived },
  { name: "orders of lanes", statements: laneOrders },
  { name: "heads", statements: heads },
  { name: "fire next", statements: fireNext },
  { name: "overtaken", statements: overtaken },
  { name: "groups", statements: groups },
  { name: "changes", statements: changes },
  { name: "ranks at gates", statements: gateRanks },
  { name: "rollbacks", statements: rollbacks },
  { name: "fire ahead", statements: fireAhead },
  { name: "orders at gates", statements: gateOrders },
  { name: "idle lanes", statements: idleLanes },
  { name: "changes of what is held", statements: changesOfHeld },
  { name: "submits by every policy", statements: everyPolicy },
  { name: "endings", statements: endings },
  { name: "gates together", statements: gatesTogether },
  { name: "answers", statements: answers },
  { name: "beginners", statements: beginners },
  { name: "depth", statements: depth },
  { name: "notified", statements: notified },
  { name: "rounds", statements: rounds },
  { name: "held up", statements: heldUp },
  { name: "in time", statements: inTime },
]

export const digestOf = ({ statements }: Migration): string =>
  createHash("sha256").update(statements.join("\0")).digest("hex")

/** Where the migrations that ran are written down, in the schema of the scheduler. */
export const table = "migration"
