/** A run that a test waited for had not ended when all its time was up. It says what is going on. */
import { Schema } from "effect"
import { RunIdFromString } from "../core/domain/RunId.ts"

export class NotEnded extends Schema.TaggedError<NotEnded>()("NotEnded", {
  run: RunIdFromString,
  /** In virtual time. */
  waitedMillis: Schema.Number,
  report: Schema.String,
}) {
  override get message() {
    return `run ${this.run} has not ended within ${this.waitedMillis} ms of virtual time\n` +
      this.report
  }
}
