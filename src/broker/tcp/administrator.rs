//! [`TcpAdmin`] as the administrator of a run: it blocks until it has its answers.

use std::future::ready;

use super::TcpAdmin;
use crate::base::Offset;
use crate::broker::setup::{
    Administrator, Answer, Deadline, Found, Inspection, SetupError, TopicReplicas,
};
use crate::plan::{Plan, StartAt, TopicPlan};

impl Administrator for TcpAdmin {
    fn connect(&mut self, deadline: &Deadline) -> Result<Found, SetupError> {
        TcpAdmin::connect(self, deadline)
    }

    fn inspect<'a>(&'a mut self, plan: &'a Plan, deadline: &'a Deadline) -> Answer<'a, Inspection> {
        Box::pin(ready(TcpAdmin::inspect(self, plan, deadline)))
    }

    fn create_topic<'a>(
        &'a mut self,
        plan: &'a TopicPlan,
        found: &'a Found,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()> {
        Box::pin(ready(TcpAdmin::create_topic(self, plan, found, deadline)))
    }

    fn require_room_for<'a>(&'a mut self, payload: u64, deadline: &'a Deadline) -> Answer<'a, ()> {
        Box::pin(ready(TcpAdmin::require_room_for(self, payload, deadline)))
    }

    fn replicas<'a>(&'a mut self, deadline: &'a Deadline) -> Answer<'a, TopicReplicas> {
        Box::pin(ready(TcpAdmin::replicas(self, deadline)))
    }

    fn cluster_id(&mut self, deadline: &Deadline) -> Option<String> {
        TcpAdmin::cluster_id(self, deadline)
    }

    fn start_offsets(
        &mut self,
        start: StartAt,
        partitions: u32,
        deadline: &Deadline,
    ) -> Result<Vec<Offset>, SetupError> {
        TcpAdmin::start_offsets(self, start, partitions, deadline)
    }

    fn records(&mut self, partitions: u32, deadline: &Deadline) -> Option<u64> {
        TcpAdmin::records(self, partitions, deadline)
    }

    fn commit_starts<'a>(
        &'a mut self,
        starts: &'a [Offset],
        found: Option<&'a Found>,
        deadline: &'a Deadline,
    ) -> Answer<'a, ()> {
        let group = self.group.clone();
        Box::pin(ready(TcpAdmin::commit_starts(self, &group, starts, found, deadline)))
    }

    fn delete_topic(&mut self) -> Answer<'_, ()> {
        Box::pin(ready(TcpAdmin::delete_topic(self)))
    }
}
