/**
 * An error that a task declares: an answer of its handler, typed, final and never retried. A handler
 * throws one with `fail`; who waits for the run gets it, and `task.isError` tells its type.
 */
export class DeclaredError<E> extends Error {
  override readonly name = "DeclaredError"
  readonly task: string
  readonly error: E

  constructor(task: string, error: E) {
    super(`"${task}" answered with an error: ${JSON.stringify(error)}`)
    this.task = task
    this.error = error
  }
}
