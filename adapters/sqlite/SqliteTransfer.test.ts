import { describe, it } from "@effect/vitest"
import { DatabaseSync } from "node:sqlite"
import { assertTransferred } from "../../core/contract/transferred.ts"
import { steps } from "./migrations/mod.ts"

const standing = "run kind attempt crashes fence settled is_careful gate"

describe("SqliteTransfer", () => {
  it("takes every table and column, or says why not", () => {
    const db = new DatabaseSync(":memory:")
    for (const step of steps) db.exec(step)
    const found = new Map<string, Array<string>>()
    const columns = db.prepare(`
      SELECT m.name AS "table", c.name AS "column"
      FROM sqlite_schema AS m CROSS JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'`)
      .all() as Array<{ table: string; column: string }>
    for (const { column, table } of columns) {
      found.set(table, [...found.get(table) ?? [], column])
    }
    assertTransferred(found, {
      moved: {
        meta: "key value",
        task: "namespace name definition revision",
        calendar: "namespace name definition revision",
        trigger:
          `id namespace name partition definition revision is_paused is_removed cursor calendar
          is_permanent`,
        slot: "trigger slot through outcome run reason lateness_millis revision running",
        trigger_version: "trigger revision since definition calendar",
        tail: `trigger source position fired passed skipped moved_at up_to failure failing_since`,
        asked: "trigger kind key slot run revision at request asked_by",
        executor: `incarnation namespace name standing capacity labels resources tasks ttl_millis
          joined_at beat_at ends_at may_hold`,
        run:
          `id kind lane level created_at delay_millis is_at_most_once crashes_max gate gate_places
          gate_when_full trigger slot idempotency_key payload`,
        idempotency: "namespace key run",
        scheduled: `${standing} due_at`,
        blocked: `${standing} level turn rank`,
        ready: `${standing} lane level rank is_late due_at`,
        lease: `${standing} incarnation loop round is_started is_cancelling is_suspending claimed_at
          due_at`,
        parked: `${standing} state is_parent is_admitted since awaits_until incarnation claimed_at`,
        outcome: `${standing} state incarnation claimed_at due_at finished_at result failure`,
        journal: "id run at kind attempt fence detail failure incarnation asked_by",
        child: "parent nth count run",
        deadline: "run at",
        level_set: "run level changes",
        checkpoint: "run value",
        conclusion: "run fence state phase result failure",
        state: "namespace task key value",
        placed: "run bound_to at placement",
        permit: "namespace kind name cell",
        lock: "key holder fence ttl_millis expires_at",
      },
      stays: {
        "executor.vitals": "said anew with the next beat",
        ending: "what executors leave to be said of their runs is left anew with the next beat",
        "executor.endings_number":
          "by which of two beats the later is told, and the next one is later",
        "executor.sizes": "wished of one incarnation, which starts anew",
        progress: "what runs have said tells and decides nothing; docs/moving.md says so",
        log: "what runs have said tells and decides nothing; docs/moving.md says so",
        audit: "the audit of slots begins where it is put",
        audit_open: "the audit of slots begins where it is put",
        audit_finding: "of the storage that was audited",
        answer: "of orders that were given to this storage; they are given anew to another",
        kind: "numbers of names, given anew",
        lane: "numbers of names, given anew",
        tally: "counted anew",
        fleet: "revisions, of which only the next has to be another",
        remembered: "whose turn it is to be given a run: the round begins anew",
        hint: "who waits, looks by itself now and then",
        share: "what keys have had: all begin alike",
        subscription: "those of triggers are made anew from their definitions",
        outbox: "not carried yet: export when the triggers that follow have caught up",
        tailed: "what became of each entry tells and decides nothing; its position is carried",
        followed: "not carried yet: the records of events, and which run was followed",
        sqlite_sequence: "its number is in Marks",
      },
    }, "adapters/sqlite")
  })
})
