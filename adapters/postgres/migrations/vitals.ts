/** How it goes with an executor, as it says itself, and what is wished of its pool. */
export default [`ALTER TABLE executor ADD COLUMN vitals text, ADD COLUMN sizes text`]
