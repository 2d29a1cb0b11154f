-- sandbox_faults: what is to go wrong with the sandbox now.
SELECT name FROM sandbox_fault
