/** Tests of tasks and triggers in virtual time, without a database. */
export { NotEnded } from "./NotEnded.ts"
export { startTesting, type StartTestingOptions, type TestBelfry } from "./startTesting.ts"
export { Testing, type TestingOptions } from "./Testing.ts"
