/** Threads and processes of their own for handlers that may block or crash, and for beats. */
export * from "./Beating.ts"
export * from "./Isolated.ts"
