import { HeliographError } from "./errors.js";
/** The questions that wait for their answers. */
export declare class Calls {
    #private;
    /** A number for a question, and what its answer will be. */
    open(): {
        id: number;
        answer: Promise<unknown>;
    };
    /** An answer has come. */
    answer(id: number | undefined, frame: unknown): void;
    /** A question was refused; `false` if it is none of these. */
    fail(id: number, error: HeliographError): boolean;
    /** No answers will come. */
    failAll(error: HeliographError): void;
}
