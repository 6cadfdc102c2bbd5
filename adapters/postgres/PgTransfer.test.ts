import { layer as withLayer } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { assertTransferred } from "../../core/contract/transferred.ts"
import { client, layer } from "./TestStorage.ts"

const standing = "run_id lane fence level attempt crashes is_careful gate"

withLayer(layer, { excludeTestServices: true, timeout: Duration.minutes(1) })(
  "PgTransfer",
  (it) => {
    it.effect("takes every table and column, or says why not", () =>
      Effect.gen(function* () {
        const sql = yield* client
        const columns = yield* sql.unsafe<{ readonly table: string; readonly column: string }>(`
          SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns
          WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position`)
        const found = new Map<string, Array<string>>()
        for (const { column, table } of columns) {
          found.set(table, [...found.get(table) ?? [], column])
        }
        assertTransferred(found, {
          moved: {
            task: "id namespace name revision definition",
            calendar: "namespace revision name definition",
            trigger:
              `id namespace name cursor revision partition is_paused is_removed definition calendar
              is_permanent`,
            slot: "slot through run_id lateness trigger outcome reason revision running",
            trigger_version: "since trigger revision definition calendar",
            tail:
              "moved_at up_to failing_since fired passed skipped trigger source position failure",
            asked: "slot run_id at trigger revision kind key request asked_by",
            executor:
              `incarnation namespace beat_at joined_at ttl capacity standing name labels tasks
              resources is_watched`,
            run: `id created_at due_at slot task lane trigger gate_places level crashes_max
              is_at_most_once is_gate_discarding payload idempotency_key gate`,
            idempotency: "namespace key run_id digest",
            scheduled: `${standing} due_at`,
            blocked: `${standing} turn places is_discarding by_deadline`,
            ready: `${standing} rank`,
            lease: `${standing} claimed_at incarnation round loop is_start_marked is_cancelling
              is_suspending`,
            parked: `${standing} since awaits_until claimed_at incarnation kind`,
            outcome:
              `run_id finished_at claimed_at incarnation fence state attempt crashes is_reported
              result failure`,
            journal:
              "run_id id at claimed_at fence attempt incarnation kind detail failure asked_by",
            child: "parent run_id nth count",
            deadline: "run_id expires_at",
            level_set: "run_id level changes",
            checkpoint: "run_id value",
            conclusion: "run_id fence state phase result failure",
            state: "task key value",
            placed: "run_id at bound_to placement",
            touching: "gate namespace thing is_exclusive",
            permit: "namespace revision kind name cell",
            lock: "key holder fence expires_at",
          },
          stays: {
            "task.in_order": "follows from its definition",
            "blocked.rank": "follows from level and turn, or from by_deadline",
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
            namespace: "numbers of names, given anew",
            lane: "numbers of names, given anew",
            fleet: "revisions, of which only the next has to be another",
            remembered: "whose turn it is to be given a run: the round begins anew",
            waiter: "who waits, looks by itself now and then",
            share: "what keys have had: all begin alike",
            subscription: "those of triggers are made anew from their definitions",
            outbox: "not carried yet: export when the triggers that follow have caught up",
            tailed: "what became of each entry tells and decides nothing; its position is carried",
            followed: "not carried yet: the records of events, and which run was followed",
            clock_step: "what was done about the clock of this database",
            migration: "what was done to this schema",
          },
        }, "adapters/postgres")
      }).pipe(Effect.scoped))
  },
)
