//! [`Admin`] as the administrator of a run.

use super::Admin;
use crate::base::Offset;
use crate::broker::setup::{
    Administrator, Answer, Deadline, Found, Inspection, SetupError, TopicReplicas,
};
use crate::plan::{Plan, StartAt, TopicPlan};

impl Administrator for Admin {
    fn connect(&mut self, deadline: &Deadline) -> Result<Found, SetupError> {
        Admin::connect(self, deadline)
    }

    fn inspect<'a>(&'a mut self, plan: &'a Plan, deadline: &'a Deadline) -> Answer<'a, Inspection> {
        Box::pin(Admin::inspect(self, plan, deadline))
    }

    fn create_topic<'a>(
        &'a mut self,
        plan: &'a TopicPlan,
        found: &'a Found,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()> {
        Box::pin(Admin::create_topic(self, plan, found, deadline))
    }

    fn require_room_for<'a>(&'a mut self, payload: u64, deadline: &'a Deadline) -> Answer<'a, ()> {
        Box::pin(Admin::require_room_for(self, payload, deadline))
    }

    fn replicas<'a>(&'a mut self, deadline: &'a Deadline) -> Answer<'a, TopicReplicas> {
        Box::pin(Admin::replicas(self, deadline))
    }

    fn cluster_id(&mut self, deadline: &Deadline) -> Option<String> {
        Admin::cluster_id(self, deadline)
    }

    fn start_offsets(
        &mut self,
        start: StartAt,
        partitions: u32,
        deadline: &Deadline,
    ) -> Result<Vec<Offset>, SetupError> {
        Admin::start_offsets(self, start, partitions, deadline)
    }

    fn records(&mut self, partitions: u32, deadline: &Deadline) -> Option<u64> {
        Admin::records(self, partitions, deadline)
    }

    fn commit_starts<'a>(
        &'a mut self,
        starts: &'a [Offset],
        found: Option<&'a Found>,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()> {
        Box::pin(Admin::commit_starts(self, starts, found, deadline))
    }

    fn delete_topic(&mut self) -> Answer<'_, ()> {
        Box::pin(Admin::delete_topic(self))
    }
}
