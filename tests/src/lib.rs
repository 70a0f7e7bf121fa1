//! What proves Symphony: the simulator, and helpers of the tests.

pub mod sim;
